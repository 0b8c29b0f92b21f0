/** Where is measured: a target, the servers that are compared on it, and how they are brought up. */
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOk } from '../helpers/programs.ts';
import { Tgt } from '../helpers/tgt.ts';
import { Shell } from '../vm/guest/shell.ts';
import { startIserd } from './servers/iserd.ts';
import { startOpenIscsi } from './servers/open-iscsi.ts';
import { startQemuNbd } from './servers/qemu-nbd.ts';
import type { Server, ServerName, Transport } from './servers/server.ts';

export const placeNames = ['host', 'vm-tgt', 'vm-lio'] as const;
export type PlaceName = (typeof placeNames)[number];

export const placeTitles: Readonly<Record<PlaceName, string>> = {
  host: 'host, tgt, through Unix sockets',
  'vm-tgt': 'VM, tgt, as kernel devices',
  'vm-lio': 'VM, LIO, as kernel devices',
};

/** Of one volume: LIO's RAM disks and tgt's files are all in memory. */
export const volumeMebibytes = 64;

export interface ServerKind {
  readonly name: ServerName;
  readonly transport: Transport;
}

export function labelOf({ name, transport }: ServerKind): string {
  return `${name} ${transport}`;
}

/** In the order in which charts and tables show them. */
export function serversOf(place: PlaceName): ServerKind[] {
  const transports: readonly Transport[] = place === 'host' ? ['TCP'] : ['iSER', 'TCP'];
  const names: readonly ServerName[] =
    place === 'host' ? ['iserd', 'qemu-nbd'] : ['iserd', 'qemu-nbd', 'open-iscsi'];
  return transports.flatMap((transport) => names.map((name) => ({ name, transport })));
}

/** A place with its target running. */
export interface OpenPlace {
  /** Rejects when the server cannot serve all volumes. */
  start(kind: ServerKind): Promise<Server>;
  close(servers: readonly Server[]): Promise<void>;
}

export function openPlace(place: PlaceName, volumes: number): Promise<OpenPlace> {
  return place === 'host' ? openHost(volumes) : openGuest(place, volumes);
}

async function openHost(volumes: number): Promise<OpenPlace> {
  // Disks would have their say otherwise.
  process.env['TMPDIR'] ??= '/dev/shm';
  const directory = mkdtempSync(join(tmpdir(), 'iserd-bench-'));
  const sizeBytes = volumeMebibytes * 2 ** 20;
  const tgt = await Tgt.start({ luns: Array.from({ length: volumes }, () => ({ sizeBytes })) });
  // Written before it is used, so that nobody reads holes.
  for (const file of tgt.files) await writeFile(file, Buffer.alloc(sizeBytes), { flag: 'r+' });
  return {
    start: ({ name }) => {
      const { urls } = tgt;
      const common = { urls, initiatorName: 'iqn.2026-11.test:bench', directory, tag: 'tcp' };
      if (name === 'iserd') return startIserd(common);
      if (name === 'qemu-nbd') return startQemuNbd(common);
      throw new Error(`${name} makes kernel devices: only in the VM`);
    },
    close: async (servers) => {
      for (const server of servers) await server.stop?.();
      await tgt.stop();
      rmSync(directory, { recursive: true });
    },
  };
}

async function openGuest(place: Exclude<PlaceName, 'host'>, volumes: number): Promise<OpenPlace> {
  const target = place === 'vm-tgt' ? 'tgt' : 'lio';
  const directory = mkdtempSync(join(tmpdir(), 'iserd-bench-'));
  // Each nbd server has a range of devices of its own for each transport.
  await runOk('modprobe', ['-r', 'nbd']);
  await runOk('modprobe', ['nbd', `nbds_max=${4 * volumes}`]);
  const targets = new Shell('test/bench/guest-targets.sh');
  await targets.run(`bench_${target}_up ${volumes} ${volumeMebibytes}`);
  const initiatorName = await targets.variable('initiator_name');
  let nextDevice = 0;
  return {
    start: async (kind) => {
      const tag = kind.transport.toLowerCase();
      const listing = await targets.run(`bench_urls ${target} ${tag} ${volumes}`);
      const urls = listing.trim().split('\n');
      const common = { urls, initiatorName, directory, tag };
      if (kind.name === 'open-iscsi') return startOpenIscsi(common, kind.transport);
      const nbdDevices = urls.map(() => `/dev/nbd${nextDevice++}`);
      const start = kind.name === 'iserd' ? startIserd : startQemuNbd;
      return start({ ...common, nbdDevices });
    },
    // The rest goes with the guest: LIO cannot always be taken down (see targets.sh), nor can a server whose requests hang.
    close: () => targets.close(),
  };
}
