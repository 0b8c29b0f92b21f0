/** The guest's tgt with units for daemons over iSER, and the kernel devices to serve them as. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOk } from '../../helpers/programs.ts';
import { Shell } from '../../vm/guest/shell.ts';
import { StrategyDaemon } from './daemon.ts';
import type { Contender } from './plan.ts';

export interface BedOptions {
  readonly units: number;
  readonly volumeMebibytes: number;
  /** Serve as /dev/nbdN; else through Unix sockets. */
  readonly asDevices: boolean;
}

export class StrategiesBed {
  /** The target's, which is the device's. */
  readonly address: string;
  readonly #urls: readonly string[];
  readonly #initiatorName: string;
  readonly #asDevices: boolean;
  readonly #directory = mkdtempSync(join(tmpdir(), 'iserd-strategies-'));

  private constructor(
    address: string,
    urls: readonly string[],
    initiatorName: string,
    asDevices: boolean,
  ) {
    this.address = address;
    this.#urls = urls;
    this.#initiatorName = initiatorName;
    this.#asDevices = asDevices;
  }

  static async open({ units, volumeMebibytes, asDevices }: BedOptions): Promise<StrategiesBed> {
    if (asDevices) {
      await runOk('modprobe', ['-r', 'nbd']);
      await runOk('modprobe', ['nbd', `nbds_max=${units}`]);
    }
    const targets = new Shell('test/bench/guest-targets.sh');
    await targets.run(`bench_tgt_up ${units} ${volumeMebibytes}`);
    const urls = (await targets.run(`bench_urls tgt iser ${units}`)).trim().split('\n');
    const [address, name] = [
      await targets.variable('portal_address'),
      await targets.variable('initiator_name'),
    ];
    return new StrategiesBed(address, urls, name, asDevices);
  }

  /** A daemon with `count` of the units from `first` on, which no running daemon has. */
  start(contender: Contender, first: number, count: number): Promise<StrategyDaemon> {
    const urls = this.#urls.slice(first, first + count);
    return StrategyDaemon.start(contender, {
      urls,
      initiatorName: this.#initiatorName,
      directory: this.#directory,
      ...(this.#asDevices
        ? { nbdDevices: urls.map((_, index) => `/dev/nbd${first + index}`) }
        : {}),
    });
  }
}

/** Of the guest's verbs device, without a target. */
export async function portalAddress(): Promise<string> {
  const targets = new Shell('test/vm/guest/targets.sh');
  try {
    return await targets.variable('portal_address');
  } finally {
    await targets.close();
  }
}
