import { assert, ProtocolError } from '../errors.ts';
import {
  ClientFlag,
  Option,
  optionHeaderLength,
  optionMagicHigh,
  optionMagicLow,
  OptionReply,
} from './constants.ts';
import { NbdEnd } from './end.ts';
import type { ExportDirectory, NbdExport } from './export.ts';
import { serverGreeting } from './greeting.ts';
import type { NbdLimits } from './limits.ts';
import { OptionReplies } from './option-reply.ts';
import type { Haggling, OptionResult } from './options.ts';
import { answerOption } from './options.ts';

/** What both sides have settled on when the transmission phase begins. */
export interface Agreement {
  readonly structuredReplies: boolean;
  /** BLOCK_STATUS may be asked, for base:allocation. */
  readonly allocationContext: boolean;
}

/**
 * What to do next. `consumed` bytes of the input are done with. `output` is sent before anything else happens and before the
 * next bytes are looked at: a client that does not read its replies costs one reply's memory.
 */
export type HandshakeStep =
  /** At least `needed` bytes must be there before it is worth asking again. */
  | { readonly kind: 'more'; readonly consumed: number; readonly needed: number }
  | { readonly kind: 'reply'; readonly consumed: number; readonly output: Uint8Array }
  | {
      readonly kind: 'transmission';
      readonly consumed: number;
      readonly output: Uint8Array;
      readonly nbdExport: NbdExport;
      readonly agreement: Agreement;
    }
  | {
      readonly kind: 'close';
      readonly consumed: number;
      readonly output: Uint8Array;
      readonly end: NbdEnd;
      readonly detail: string;
    };

/**
 *   clientFlags ──► option ──► ended
 *                   │    ▲
 *                   ▼    │
 *                 discarding
 */
const State = {
  clientFlags: 'clientFlags',
  option: 'option',
  discarding: 'discarding',
  ended: 'ended',
} as const;
type State = (typeof State)[keyof typeof State];

const allowed: Readonly<Record<State, readonly State[]>> = {
  clientFlags: ['option', 'ended'],
  option: ['discarding', 'ended'],
  discarding: ['option'],
  ended: [],
};

const clientFlagsLength = 4;
const nothing = new Uint8Array(0);

/**
 * The server's side of the fixed newstyle handshake (proto.md: Handshake phase): bytes in, steps out. It does no I/O and knows
 * no time. TLS is not offered.
 */
export class Handshake {
  readonly #limits: NbdLimits;
  readonly #haggling: Haggling;
  #state: State = State.clientFlags;
  #fixedNewstyle = false;
  #options = 0;
  /** Announced by all options so far. */
  #bytes = 0;
  #discardLeft = 0;
  #discardOption = 0;

  constructor(directory: ExportDirectory, limits: NbdLimits) {
    this.#limits = limits;
    this.#haggling = {
      directory,
      payloadLength: limits.payloadLength,
      noZeroes: false,
      structuredReplies: false,
      allocationFor: undefined,
    };
  }

  /** What the server says first: "NBDMAGIC" | "IHAVEOPT" | handshake flags u16. */
  greeting(): Uint8Array {
    return serverGreeting();
  }

  /** Looks at what has come in and is not consumed yet. */
  receive(input: Uint8Array): HandshakeStep {
    switch (this.#state) {
      case State.clientFlags:
        return this.#clientFlags(input);
      case State.option:
        return this.#option(input);
      case State.discarding:
        return this.#discard(input);
      case State.ended:
        throw new Error('handshake asked after its end');
    }
  }

  #clientFlags(input: Uint8Array): HandshakeStep {
    if (input.length < clientFlagsLength) return more(0, clientFlagsLength);
    const flags = viewOf(input).getUint32(0);
    const unknown = flags & ~(ClientFlag.fixedNewstyle | ClientFlag.noZeroes);
    if (unknown !== 0) {
      return this.#close(NbdEnd.badHandshake, `unknown client flags 0x${hex(unknown)}`);
    }
    this.#fixedNewstyle = (flags & ClientFlag.fixedNewstyle) !== 0;
    this.#haggling.noZeroes = (flags & ClientFlag.noZeroes) !== 0;
    this.#enter(State.option);
    return more(clientFlagsLength, optionHeaderLength);
  }

  /** magic u64 | option u32 | length u32 | data. */
  #option(input: Uint8Array): HandshakeStep {
    if (input.length < optionHeaderLength) return more(0, optionHeaderLength);
    const view = viewOf(input);
    if (view.getUint32(0) !== optionMagicHigh || view.getUint32(4) !== optionMagicLow) {
      return this.#close(NbdEnd.badHandshake, 'option without IHAVEOPT');
    }
    const option = view.getUint32(8);
    const length = view.getUint32(12);
    if (length > this.#limits.optionDiscardLength) {
      return this.#close(NbdEnd.optionTooLong, `option ${option} announces ${length} bytes`);
    }
    if (!this.#fixedNewstyle && option !== Option.exportName) {
      return this.#close(NbdEnd.badHandshake, `option ${option} from a client without haggling`);
    }
    if (this.#bytes + length > this.#limits.handshakeLength) {
      const detail = `options of more than ${this.#limits.handshakeLength} bytes`;
      return this.#close(NbdEnd.handshakeTooLong, detail);
    }
    if (length > this.#limits.optionLength) return this.#startDiscard(option, length);
    const end = optionHeaderLength + length;
    if (input.length < end) return more(0, end);
    this.#bytes += end;
    if (++this.#options > this.#limits.options) {
      return this.#close(NbdEnd.tooManyOptions, `more than ${this.#limits.options} options`);
    }
    return this.#answer(option, input.subarray(optionHeaderLength, end), end);
  }

  #answer(option: number, data: Uint8Array, consumed: number): HandshakeStep {
    let result: OptionResult;
    try {
      result = answerOption(option, data, this.#haggling);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (option === Option.exportName) return this.#close(NbdEnd.badHandshake, error.message);
      const output = new OptionReplies(option).addError(OptionReply.errorInvalid, error.message);
      return { kind: 'reply', consumed, output: output.bytes() };
    }
    switch (result.kind) {
      case 'reply':
        return { kind: 'reply', consumed, output: result.output };
      case 'transmission':
        this.#enter(State.ended);
        return {
          kind: 'transmission',
          consumed,
          output: result.output,
          nbdExport: result.nbdExport,
          agreement: {
            structuredReplies: this.#haggling.structuredReplies,
            allocationContext: this.#haggling.allocationFor === result.name,
          },
        };
      case 'close':
        return this.#close(result.end, result.detail, consumed, result.output);
    }
  }

  #startDiscard(option: number, length: number): HandshakeStep {
    if (++this.#options > this.#limits.options) {
      return this.#close(NbdEnd.tooManyOptions, `more than ${this.#limits.options} options`);
    }
    this.#bytes += optionHeaderLength + length;
    this.#enter(State.discarding);
    this.#discardOption = option;
    this.#discardLeft = length;
    return more(optionHeaderLength, 1);
  }

  #discard(input: Uint8Array): HandshakeStep {
    const consumed = Math.min(input.length, this.#discardLeft);
    this.#discardLeft -= consumed;
    if (this.#discardLeft > 0) return more(consumed, 1);
    if (this.#discardOption === Option.exportName) {
      this.#enter(State.option);
      return this.#close(NbdEnd.unknownExport, 'export name longer than any can be', consumed);
    }
    this.#enter(State.option);
    const output = new OptionReplies(this.#discardOption).addError(
      OptionReply.errorTooBig,
      `option data is limited to ${this.#limits.optionLength} bytes`,
    );
    return { kind: 'reply', consumed, output: output.bytes() };
  }

  #close(end: NbdEnd, detail: string, consumed = 0, output: Uint8Array = nothing): HandshakeStep {
    this.#enter(State.ended);
    return { kind: 'close', consumed, output, end, detail };
  }

  #enter(next: State): void {
    assert(allowed[this.#state].includes(next), `NBD handshake ${this.#state} -> ${next}`);
    this.#state = next;
  }
}

function more(consumed: number, needed: number): HandshakeStep {
  return { kind: 'more', consumed, needed };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(value: number): string {
  return (value >>> 0).toString(16);
}
