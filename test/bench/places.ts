/** Where is measured: a target, and how servers are brought up on it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOk } from '../helpers/programs.ts';
import { Tgt } from '../helpers/tgt.ts';
import { Shell } from '../vm/guest/shell.ts';
import { shareCount, shareOf, type ServerKind } from './field.ts';
import { openHop } from './hop.ts';
import { startIserd } from './servers/iserd.ts';
import { startOpenIscsi } from './servers/open-iscsi.ts';
import { startQemuNbd } from './servers/qemu-nbd.ts';
import type { Server } from './servers/server.ts';

/** Those with a target. */
export const targetPlaceNames = ['host', 'vm-tgt', 'vm-lio'] as const;
export const placeNames = [...targetPlaceNames, 'hop'] as const;
export type PlaceName = (typeof placeNames)[number];
export type GuestPlaceName = Extract<PlaceName, `vm-${string}`>;

export const placeTitles: Readonly<Record<PlaceName, string>> = {
  host: 'host, tgt, through Unix sockets',
  'vm-tgt': 'VM, tgt, as kernel devices',
  'vm-lio': 'VM, LIO, as kernel devices',
  hop: 'NBD hop alone, nothing behind it, through Unix sockets',
};

export function isInGuest(place: PlaceName): place is GuestPlaceName {
  return place.startsWith('vm-');
}

/** Of one volume: LIO's RAM disks and tgt's files are all in memory. */
export const volumeMebibytes = 64;

/** A place with its target running. */
export interface OpenPlace {
  /** Rejects when the server cannot serve all volumes. */
  start(kind: ServerKind): Promise<Server>;
  close(servers: readonly Server[]): Promise<void>;
}

/** For all of these servers, with so many volumes each. */
export async function openPlace(
  place: PlaceName,
  kinds: readonly ServerKind[],
  volumes: number,
): Promise<OpenPlace> {
  if (place === 'hop') return openHop(volumes);
  return place === 'host' ? openHost(kinds, volumes) : openGuest(place, kinds, volumes);
}

async function openHost(kinds: readonly ServerKind[], volumes: number): Promise<OpenPlace> {
  // Disks would have their say otherwise.
  process.env['TMPDIR'] ??= '/dev/shm';
  const directory = mkdtempSync(join(tmpdir(), 'iserd-bench-'));
  const sizeBytes = volumeMebibytes * 2 ** 20;
  const luns = Array.from({ length: volumes * shareCount(kinds) }, () => ({ sizeBytes }));
  const tgt = await Tgt.start({ luns, swift: true });
  // Written before it is used, so that nobody reads holes.
  for (const file of tgt.files) await writeFile(file, Buffer.alloc(sizeBytes), { flag: 'r+' });
  return {
    start: (kind) => {
      const { name, variant } = kind;
      const urls = share(tgt.urls, kind, kinds, volumes);
      const initiatorName = 'iqn.2026-11.test:bench';
      const common = { urls, initiatorName, directory, tag: tagOf(kind) };
      if (name === 'iserd') return startIserd(common, variant);
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

async function openGuest(
  place: GuestPlaceName,
  kinds: readonly ServerKind[],
  volumes: number,
): Promise<OpenPlace> {
  const target = place === 'vm-tgt' ? 'tgt' : 'lio';
  const directory = mkdtempSync(join(tmpdir(), 'iserd-bench-'));
  const units = volumes * shareCount(kinds);
  // Each nbd server has a range of devices of its own.
  await runOk('modprobe', ['-r', 'nbd']);
  await runOk('modprobe', ['nbd', `nbds_max=${kinds.length * volumes}`]);
  const targets = new Shell('test/bench/guest-targets.sh');
  await targets.run(`bench_${target}_up ${units} ${volumeMebibytes}`);
  const initiatorName = await targets.variable('initiator_name');
  let nextDevice = 0;
  return {
    start: async (kind) => {
      const listing = await targets.run(
        `bench_urls ${target} ${kind.transport.toLowerCase()} ${units}`,
      );
      const urls = share(listing.trim().split('\n'), kind, kinds, volumes);
      const common = { urls, initiatorName, directory, tag: tagOf(kind) };
      if (kind.name === 'open-iscsi') return startOpenIscsi(common, kind.transport);
      const nbdDevices = urls.map(() => `/dev/nbd${nextDevice++}`);
      const own = { ...common, nbdDevices };
      return kind.name === 'iserd' ? startIserd(own, kind.variant) : startQemuNbd(own);
    },
    // The rest goes with the guest: LIO cannot always be taken down (see targets.sh), nor can a server whose requests hang.
    close: () => targets.close(),
  };
}

/** Those of the units that the server shall have. */
function share(
  urls: readonly string[],
  kind: ServerKind,
  kinds: readonly ServerKind[],
  volumes: number,
): string[] {
  const first = shareOf(kind, kinds) * volumes;
  return urls.slice(first, first + volumes);
}

function tagOf({ transport, variant }: ServerKind): string {
  return [transport.toLowerCase(), variant?.name].filter((word) => word !== undefined).join('-');
}
