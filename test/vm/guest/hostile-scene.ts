/**
 * A daemon with a volume for every lie, each at a hostile target of its own, and a good one at tgt, which shares lanes and the RDMA
 * device with them.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { callControl } from '../../../daemon/control/client.ts';
import { statusSchema, type Status } from '../../../daemon/control/protocol.ts';
import type { DaemonFixture } from '../../helpers/daemon-fixture.ts';
import type { IserdProcess } from '../../helpers/programs.ts';
import { runOk } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { HostileIserTargets, type HostileIserTarget, type Part } from './hostile-iser-target.ts';
import { initiatorOptions, targets } from './machine.ts';
import { SteadyLoad } from './steady-load.ts';

const firstPort = 3300;

/** Whether STags cover whole granules of memory and outlive commands, or are exact and end with them. */
export type Registration = 'cache' | 'per-io';

/** A part, and how its volume is configured. */
export interface HostileVolume extends Part {
  /** Seconds, by key. */
  readonly timeouts: Readonly<Record<string, number>>;
}

type VolumeStatus = Status['volumes'][number];

export class HostileScene {
  readonly #targets: HostileIserTargets;
  readonly #iserd: IserdProcess;
  readonly #directory: string;

  private constructor(hostile: HostileIserTargets, iserd: IserdProcess, directory: string) {
    this.#targets = hostile;
    this.#iserd = iserd;
    this.#directory = directory;
  }

  /** Resolves when all volumes are served. */
  static async begin(
    fixture: DaemonFixture,
    registration: Registration,
    volumes: readonly HostileVolume[],
  ): Promise<HostileScene> {
    const address = await targets.variable('portal_address');
    const hostile = await HostileIserTargets.start(address, firstPort, volumes);
    fixture.onCleanUp(() => hostile.stop());
    const directory = fixture.directory();
    const goodUrl = await targets.variable('tgt_iser_url');
    const bad = volumes.map((volume, index) =>
      volumeTable(directory, `bad-${index}`, hostileUrl(address, index), volume.timeouts),
    );
    // On every lane that there can be, so that each of the others has it beside it.
    const good = volumeTable(directory, 'good', goodUrl, { lanes: availableParallelism() });
    const text = [general(directory, registration), good, ...bad].join('\n');
    const iserd = await fixture.iserd('--config', fixture.file(text));
    const scene = new HostileScene(hostile, iserd, directory);
    await waitUntil(
      'all volumes are served',
      async () => (await scene.status()).volumes.every(({ state }) => state === 'serving'),
      120_000,
    );
    return scene;
  }

  get log(): string {
    return this.#iserd.log;
  }

  /** What the hostile targets have said. */
  get targetOutput(): string {
    return this.#targets.output;
  }

  target(index: number): HostileIserTarget {
    return this.#targets.target(index);
  }

  socket(name: string): string {
    return join(this.#directory, name);
  }

  async status(): Promise<Status> {
    return statusSchema.parse(await callControl(join(this.#directory, 'control'), 'status'));
  }

  async volume(name: string): Promise<VolumeStatus> {
    const { volumes } = await this.status();
    const found = volumes.find((volume) => volume.name === name);
    if (found === undefined) throw new Error(`no volume ${name}`);
    return found;
  }

  /** Resolves when the volume's session is up. */
  async isUp(name: string): Promise<void> {
    const up = async (): Promise<boolean> => (await this.volume(name)).sessions[0].state === 'up';
    await waitUntil(`${name} is up`, up, 60_000);
  }

  /** On the good volume. */
  steadyLoad(name: string): Promise<SteadyLoad> {
    return SteadyLoad.start(this.socket('good'), availableParallelism(), name);
  }

  /** How the volume's connections have ended, oldest first. */
  ends(name: string): { readonly end: string; readonly detail: string }[] {
    const line = `connection closed volume=${name} .*? end=(\\S+) detail=(.*) outstanding=`;
    return [...this.log.matchAll(new RegExp(line, 'g'))].map(([, end, detail]) => ({
      end,
      detail,
    }));
  }

  /** Verbs objects of the daemon's threads by kind; of memory regions those that no registration strategy holds. */
  async verbsObjects(): Promise<Record<string, number>> {
    const { pid: daemon, lanes } = await this.status();
    const threads = new Set(readdirSync(`/proc/${daemon}/task`).map(Number));
    const counts: Record<string, number> = {};
    for (const kind of ['pd', 'cq', 'qp', 'cm_id', 'mr']) {
      const listed = JSON.parse(await runOk('rdma', ['-j', 'resource', 'show', kind])) as {
        pid?: number;
      }[];
      counts[kind] = listed.filter(({ pid = 0 }) => threads.has(pid)).length;
    }
    for (const { registrations } of lanes)
      for (const { entries } of registrations) counts['mr'] -= entries;
    return counts;
  }

  /** SIGTERM; resolves with the exit code. */
  async end(): Promise<number | null> {
    return (await this.#iserd.stop()).code;
  }
}

function hostileUrl(address: string, index: number): string {
  return `iser://${address}:${firstPort + index}/iqn.2026-11.test:hostile-${index}/0`;
}

function general(directory: string, registration: Registration): string {
  return `
[initiator]
name = "${initiatorOptions()[1]}"
[memory]
registration = "${registration}"
[control]
socket = "${directory}/control"
`;
}

function volumeTable(
  directory: string,
  name: string,
  url: string,
  numbers: Readonly<Record<string, number>>,
): string {
  const lines = Object.entries(numbers).map(([key, value]) => `${key} = ${value}`);
  return ['[[volume]]', `name = "${name}"`, `url = "${url}"`, `socket = "${directory}/${name}"`]
    .concat(lines)
    .join('\n');
}
