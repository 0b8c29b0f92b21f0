import { ProtocolError } from '../errors.ts';
import { maximumStringLength } from './constants.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads an option's data field by field. Whatever does not fit throws a ProtocolError, which becomes NBD_REP_ERR_INVALID: the
 * option's data has been taken from the socket as a whole, so the session goes on.
 */
export class OptionReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  uint16(field: string): number {
    return this.#view.getUint16(this.#take(2, field));
  }

  uint32(field: string): number {
    return this.#view.getUint32(this.#take(4, field));
  }

  /** UTF-8 without NUL, at most 4096 bytes (proto.md: Values). */
  string(length: number, field: string): string {
    if (length > maximumStringLength) {
      throw invalid(`${field} is ${length} bytes long, the limit is ${maximumStringLength}`);
    }
    const start = this.#take(length, field);
    const bytes = this.#bytes.subarray(start, start + length);
    if (bytes.includes(0)) throw invalid(`${field} contains a NUL byte`);
    try {
      return utf8.decode(bytes);
    } catch {
      throw invalid(`${field} is not UTF-8`);
    }
  }

  /** The data must end here. */
  end(): void {
    const left = this.#bytes.length - this.#position;
    if (left !== 0) throw invalid(`${left} bytes after the last field`);
  }

  #take(length: number, field: string): number {
    const start = this.#position;
    if (length > this.#bytes.length - start) throw invalid(`${field} runs past the option's end`);
    this.#position = start + length;
    return start;
  }
}

function invalid(message: string): ProtocolError {
  return new ProtocolError('invalid-option', message);
}
