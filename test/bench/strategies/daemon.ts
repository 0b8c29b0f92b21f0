/** A daemon of the comparison, and what it says of itself. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { callControl } from '../../../daemon/control/client.ts';
import { statusSchema } from '../../../daemon/control/protocol.ts';
import { cpuMicroseconds } from '../cpu-time.ts';
import { measure } from '../fio.ts';
import type { Cell } from '../grid.ts';
import { startIserd } from '../servers/iserd.ts';
import type { Server, Volumes } from '../servers/server.ts';
import type { Contender } from './plan.ts';
import { difference, type Counters, type Pins, type StrategySample } from './results.ts';

/** Often enough to see a peak, seldom enough to be no load. */
const pollMs = 1000;

export interface LoadOptions {
  readonly seconds: number;
  readonly volumeMebibytes: number;
}

type Figures = Counters & Pins;

export class StrategyDaemon {
  readonly name: string;
  readonly #server: Server;
  readonly #controlSocket: string;

  private constructor(name: string, server: Server, controlSocket: string) {
    this.name = name;
    this.#server = server;
    this.#controlSocket = controlSocket;
  }

  static async start(contender: Contender, volumes: Omit<Volumes, 'tag'>): Promise<StrategyDaemon> {
    const tag = contender.name;
    const server = await startIserd({ ...volumes, tag }, contender);
    const controlSocket = join(volumes.directory, `iserd-${tag}-control.sock`);
    return new StrategyDaemon(contender.name, server, controlSocket);
  }

  async stop(): Promise<void> {
    await this.#server.stop?.();
  }

  async figures(): Promise<Figures> {
    const { volumes, lanes } = statusSchema.parse(await callControl(this.#controlSocket, 'status'));
    const sessions = volumes.flatMap((volume) => volume.sessions);
    const registrations = lanes.flatMap((lane) => lane.registrations);
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    const pid = this.#server.pids[0];
    return {
      requests: sum(sessions.map(({ reads, writes }) => reads + writes)),
      cpuMicroseconds: cpuMicroseconds(pid),
      hits: sum(registrations.map(({ hits }) => hits)),
      misses: sum(registrations.map(({ misses }) => misses)),
      failures: sum(registrations.map(({ failures }) => failures)),
      evictions: sum(registrations.map(({ evictions }) => evictions)),
      registrationMicroseconds: sum(
        registrations.map(({ registrationMicroseconds }) => registrationMicroseconds),
      ),
      pinnedBytes: sum(registrations.map(({ pinnedBytes }) => pinnedBytes)),
      processPinnedBytes: processPinnedBytes(pid),
    };
  }

  async pins(): Promise<Pins> {
    const { pinnedBytes, processPinnedBytes } = await this.figures();
    return { pinnedBytes, processPinnedBytes };
  }

  /** Not for its figures. */
  async warm(cell: Cell, { seconds, volumeMebibytes }: LoadOptions): Promise<void> {
    const disks = this.#server.disks.slice(0, cell.volumes);
    await measure(disks, cell, { seconds, size: `${volumeMebibytes}m` });
  }

  async sample(
    cell: Cell,
    round: number,
    { seconds, volumeMebibytes }: LoadOptions,
  ): Promise<StrategySample> {
    const before = await this.figures();
    const disks = this.#server.disks.slice(0, cell.volumes);
    const peak = this.#watch();
    const measurement = await measure(disks, cell, {
      seconds,
      size: `${volumeMebibytes}m`,
    }).finally(() => {
      peak.stop();
    });
    const after = await this.figures();
    const pins = await peak.pins;
    return {
      ...measurement,
      ...{ contender: this.name, cell, round, pins },
      counters: difference(after, before),
    };
  }

  /** The highest pins until `stop`. */
  #watch(): { readonly pins: Promise<Pins>; stop(): void } {
    const stopping = new AbortController();
    const { signal } = stopping;
    const watching = async (): Promise<Pins> => {
      let pins: Pins = { pinnedBytes: 0, processPinnedBytes: 0 };
      while (!signal.aborted) {
        const now = await this.pins();
        pins = {
          pinnedBytes: Math.max(pins.pinnedBytes, now.pinnedBytes),
          processPinnedBytes: Math.max(pins.processPinnedBytes, now.processPinnedBytes),
        };
        await delay(pollMs, undefined, { signal }).catch(() => undefined);
      }
      return pins;
    };
    return {
      pins: watching(),
      stop: () => {
        stopping.abort();
      },
    };
  }
}

/** VmPin of /proc/PID/status: kilobytes that are pinned for I/O by devices. */
export function processPinnedBytes(pid: number): number {
  const kilobytes = /^VmPin:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes ?? 0) * 1024;
}
