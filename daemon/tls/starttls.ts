/**
 * The part of an NBD handshake that comes before TLS, for a server in FORCEDTLS mode (proto.md: TLS support): nothing but
 * NBD_OPT_STARTTLS and NBD_OPT_ABORT is done for a client without TLS. No I/O.
 *
 *   greeting ──► flags ──► option ──► upgrade
 *                            │ ▲
 *                            └─┘ NBD_REP_ERR_TLS_REQD, NBD_REP_ERR_INVALID
 */
import {
  ClientFlag,
  Option,
  optionHeaderLength,
  optionMagicHigh,
  optionMagicLow,
  OptionReply,
} from '../../src/nbd/constants.ts';
import { OptionReplies } from '../../src/nbd/option-reply.ts';

const clientFlagsLength = 4;
/** Nobody needs long options to say that TLS is wanted. */
const maximumOptionLength = 4096;
const maximumOptions = 16;

export type StartTlsStep =
  | { readonly kind: 'more'; readonly output: Uint8Array }
  /** Send `output`, then begin TLS. `clientFlags` are the four bytes that the client sent. */
  | { readonly kind: 'upgrade'; readonly output: Uint8Array; readonly clientFlags: Uint8Array }
  | { readonly kind: 'close'; readonly output: Uint8Array; readonly reason: string };

const nothing = new Uint8Array(0);

export class StartTls {
  #pending = nothing;
  #clientFlags: Uint8Array | undefined;
  #options = 0;

  /** Takes what has arrived. After 'upgrade' or 'close' it must not be called again. */
  receive(bytes: Uint8Array): StartTlsStep {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const outputs: Uint8Array[] = [];
    for (;;) {
      const step =
        this.#clientFlags === undefined ? this.#flags() : this.#option(this.#clientFlags);
      outputs.push(step.output);
      const output = Buffer.concat(outputs);
      if (step.kind !== 'answered') return { ...step, output };
    }
  }

  #flags(): StartTlsStep | { kind: 'answered'; output: Uint8Array } {
    if (this.#pending.length < clientFlagsLength) return { kind: 'more', output: nothing };
    const flags = this.#take(clientFlagsLength);
    const value = viewOf(flags).getUint32(0);
    const known = ClientFlag.fixedNewstyle | ClientFlag.noZeroes;
    // Without fixed newstyle there is no option but EXPORT_NAME, and that needs TLS here.
    if ((value & ~known) !== 0 || (value & ClientFlag.fixedNewstyle) === 0)
      return { kind: 'close', output: nothing, reason: 'bad-handshake' };
    this.#clientFlags = flags;
    return { kind: 'answered', output: nothing };
  }

  /** magic u64 | option u32 | length u32 | data. */
  #option(clientFlags: Uint8Array): StartTlsStep | { kind: 'answered'; output: Uint8Array } {
    if (this.#pending.length < optionHeaderLength) return { kind: 'more', output: nothing };
    const view = viewOf(this.#pending);
    if (view.getUint32(0) !== optionMagicHigh || view.getUint32(4) !== optionMagicLow)
      return { kind: 'close', output: nothing, reason: 'bad-handshake' };
    const option = view.getUint32(8);
    const length = view.getUint32(12);
    if (length > maximumOptionLength)
      return { kind: 'close', output: nothing, reason: 'option-too-long' };
    if (this.#pending.length < optionHeaderLength + length)
      return { kind: 'more', output: nothing };
    if (++this.#options > maximumOptions)
      return { kind: 'close', output: nothing, reason: 'too-many-options' };
    this.#take(optionHeaderLength + length);
    return this.#answer(option, length, clientFlags);
  }

  #answer(
    option: number,
    length: number,
    clientFlags: Uint8Array,
  ): StartTlsStep | { kind: 'answered'; output: Uint8Array } {
    const replies = new OptionReplies(option);
    switch (option) {
      case Option.startTls:
        if (length > 0) {
          replies.addError(OptionReply.errorInvalid, 'NBD_OPT_STARTTLS has no data');
          return { kind: 'answered', output: replies.bytes() };
        }
        // Whoever writes on before TLS has begun may be an attacker in the middle, whose bytes must not be taken for the client's.
        if (this.#pending.length > 0)
          return { kind: 'close', output: nothing, reason: 'plaintext-after-starttls' };
        return { kind: 'upgrade', output: replies.add(OptionReply.ack).bytes(), clientFlags };
      case Option.abort:
        return { kind: 'close', output: replies.add(OptionReply.ack).bytes(), reason: 'aborted' };
      case Option.exportName:
        return { kind: 'close', output: nothing, reason: 'export-name-without-tls' };
      default:
        replies.addError(OptionReply.errorTlsRequired, 'this server wants TLS first');
        return { kind: 'answered', output: replies.bytes() };
    }
  }

  #take(length: number): Uint8Array {
    const taken = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return taken;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
