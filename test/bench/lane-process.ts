/** Starts a lane as a process of its own (lane-program.ts) and reads its meters. */
import { fork, type ChildProcess } from 'node:child_process';
import { laneHeapOptions } from '../../daemon/lane/heap.ts';
import type { SessionSpec } from '../../daemon/lane/messages.ts';
import { makeIsid } from '../../src/iscsi/isid.ts';
import { parseTargetUrl } from '../../src/iscsi/url.ts';
import { repository } from '../helpers/programs.ts';
import { laneBundle } from './lane-bundle.ts';
import { collectStderr } from './servers/server.ts';

/** All count from the start of the process. */
export interface Meters {
  readonly requests: number;
  readonly scavenges: number;
  readonly markCompacts: number;
  /** Grows by what is allocated as long as nothing is collected. */
  readonly heapUsedBytes: number;
  readonly userMicroseconds: number;
  readonly systemMicroseconds: number;
}

export interface LaneProcessOptions {
  /** A checkout whose addon is built: this repository unless another one is to be measured. */
  readonly tree?: string;
  readonly socketPath: string;
  /** Absent: a null device. */
  readonly url?: string;
  /** Options of V8 and Node.js; default: those of a lane. */
  readonly execArgv?: readonly string[];
}

/** A young generation that holds everything a measurement allocates: nothing is collected, so heap growth is allocation. */
export const withoutCollections = [
  ...laneHeapOptions(1),
  '--max-semi-space-size=1024',
  '--min-semi-space-size=1024',
];

export class LaneProcess {
  readonly child: ChildProcess;
  /** What it has said on standard error. */
  readonly complaints: () => string;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.complaints = collectStderr(child);
  }

  static async start(options: LaneProcessOptions): Promise<LaneProcess> {
    const { tree = repository, socketPath, url, execArgv = laneHeapOptions(1) } = options;
    const spec = url === undefined ? null : sessionSpec(url);
    const child = fork(await laneBundle(tree), [socketPath, JSON.stringify(spec)], {
      execArgv: [...execArgv],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    const lane = new LaneProcess(child);
    await lane.#answer();
    return lane;
  }

  async meters(): Promise<Meters> {
    const state = this.#answer();
    this.child.send('read');
    return (await state) as Meters;
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.send('close');
    await ended;
  }

  /** The child's next message. */
  #answer(): Promise<unknown> {
    const { child } = this;
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => {
        reject(new Error(`the lane ended with code ${String(code)}: ${this.complaints()}`));
      };
      child.once('exit', onExit);
      child.once('message', (message) => {
        child.off('exit', onExit);
        resolve(message);
      });
    });
  }
}

function sessionSpec(url: string): SessionSpec {
  const { transport, host, port, targetName = '', lun = 0 } = parseTargetUrl(url);
  return {
    volume: 'bench',
    transport,
    portals: [{ host, port }],
    targetName,
    lun,
    initiatorName: 'iqn.2026-11.io.iserd:bench',
    isid: makeIsid(process.pid & 0xffffff, 0),
    headerDigest: 'none',
    dataDigest: 'none',
    readOnly: false,
    replacementTimeoutMs: 120_000,
    commandTimeoutMs: 30_000,
    loginTimeoutMs: 15_000,
    startTimeoutMs: 30_000,
    nopIntervalMs: 5_000,
    nopTimeoutMs: 5_000,
  };
}
