import { run } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { completedWrites, fioVerify } from './block-device.ts';

const kibibyte = 1024;
const writeCount = 500;
const writeBytes = 16 * kibibyte;

/**
 * fio writing with checksums, then reading back, slowly enough for something to happen in between: at most 60 requests a second,
 * so that it takes eight seconds to write.
 */
export class VerifiedLoad {
  #ended = false;
  readonly #result: Promise<string>;
  readonly #device: string;
  readonly #before: number;

  constructor(device: string) {
    this.#device = device;
    this.#before = completedWrites(device);
    const extra = ['--rate_iops=,60', '--time_based=0'];
    const argv = fioVerify(device, {
      sizeBytes: writeCount * writeBytes,
      sizes: '16k/100',
      depth: 8,
      extra,
    });
    this.#result = run('fio', argv, { timeoutMs: 180_000 }).then(({ code, stdout, stderr }) => {
      this.#ended = true;
      return code === 0 ? '' : `fio: exit ${code}\n${stdout}\n${stderr}`;
    });
  }

  /** Resolves in the middle of the writes. */
  async inFullSwing(): Promise<void> {
    await waitUntil(
      'fio has begun to write',
      () => this.#ended || completedWrites(this.#device) - this.#before >= 40,
      60_000,
    );
    if (this.#ended) throw new Error(`fio ended too early: ${await this.#result}`);
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Resolves with what went wrong, '' for nothing. */
  get result(): Promise<string> {
    return this.#result;
  }
}
