import type { BlockDevice } from '../block/device.ts';
import { BlockFlag, BlockOperation } from '../block/request-table.ts';
import { Command } from './constants.ts';
import { errorCounters, NbdCounter } from './counters.ts';
import type { Agreement } from './handshake.ts';
import { Refusal, refusalError, refusalOfBlockError, refusalText } from './refusal.ts';
import type { ReplyRing } from './reply-ring.ts';
import type { RequestHeader } from './request.ts';

/**
 * Which reply a request gets. With structured replies READ and BLOCK_STATUS must be answered by chunks and errors are, for
 * the sake of their text; what else succeeds gets the shorter simple reply, which is always allowed (proto.md: Structured
 * replies). `last`: nothing else is outstanding, so report when the reply is with the kernel.
 */
export class Answers {
  readonly #replies: ReplyRing;
  readonly #device: BlockDevice;
  readonly #structured: boolean;
  readonly #counters: Float64Array;

  constructor(
    replies: ReplyRing,
    device: BlockDevice,
    agreement: Agreement,
    counters: Float64Array,
  ) {
    this.#replies = replies;
    this.#device = device;
    this.#structured = agreement.structuredReplies;
    this.#counters = counters;
  }

  /** Answers without the device: a refusal, or the success of a request for nothing. */
  toHeader(header: RequestHeader, refusal: Refusal, last: boolean): void {
    const { cookieHigh, cookieLow } = header;
    if (refusal !== Refusal.none) {
      this.#counters[NbdCounter.refused]++;
      this.#error(cookieHigh, cookieLow, refusal, last);
    } else if (this.#structured && header.command === Command.read) {
      this.#replies.none(cookieHigh, cookieLow, last);
    } else {
      this.#replies.simple(cookieHigh, cookieLow, 0, last);
    }
  }

  /** Answers what the device has done. The buffer of a successful read now belongs to the reply. */
  toRequest(request: number, last: boolean): void {
    const { requests } = this.#device;
    const cookieHigh = requests.cookieHigh[request];
    const cookieLow = requests.cookieLow[request];
    const error = requests.error[request];
    if (error !== 0) {
      this.#counters[NbdCounter.failed]++;
      this.#error(cookieHigh, cookieLow, refusalOfBlockError(error), last);
      return;
    }
    switch (requests.operation[request]) {
      case BlockOperation.read:
        this.#readData(request, cookieHigh, cookieLow);
        return;
      case BlockOperation.blockStatus: {
        const one = (requests.flags[request] & BlockFlag.requestOne) !== 0;
        const length = requests.length[request];
        this.#replies.blockStatus(cookieHigh, cookieLow, this.#device.extents, length, one, last);
        return;
      }
      default:
        this.#replies.simple(cookieHigh, cookieLow, 0, last);
    }
  }

  #readData(request: number, cookieHigh: number, cookieLow: number): void {
    const { requests } = this.#device;
    const buffer = requests.buffer[request];
    const from = requests.bufferOffset[request];
    const length = requests.length[request];
    if (this.#structured) {
      // In two words: as one number beyond 31 bits it would be allocated to be passed on.
      const offsetHigh = Math.floor(requests.offset[request] / 0x1_0000_0000);
      const offsetLow = requests.offset[request] | 0;
      this.#replies.offsetData(cookieHigh, cookieLow, offsetHigh, offsetLow, buffer, from, length);
    } else {
      this.#replies.simpleData(cookieHigh, cookieLow, buffer, from, length);
    }
  }

  #error(cookieHigh: number, cookieLow: number, refusal: Refusal, last: boolean): void {
    this.#counters[errorCounters + refusal]++;
    const error = refusalError[refusal];
    if (this.#structured) {
      this.#replies.error(cookieHigh, cookieLow, error, refusalText[refusal], last);
    } else {
      this.#replies.simple(cookieHigh, cookieLow, error, last);
    }
  }
}
