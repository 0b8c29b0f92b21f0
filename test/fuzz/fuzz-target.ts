/** What a fuzzer runs. */
import { CodedError } from '../../src/errors.ts';
import type { SeededRandom } from './random.ts';

export interface FuzzTarget {
  /** Stable: it is part of a reproducer. */
  readonly name: string;
  /** An input: from samples that are right, changed. */
  generate(random: SeededRandom): Uint8Array;
  /**
   * Parses the input and checks what came of it. It depends on nothing but the input. Throws when the property does not hold: an outcome
   * that is neither a result nor an enumerated error, memory touched that is nobody's, something not given back.
   */
  run(input: Uint8Array): void | Promise<void>;
}

/** Longest message that a peer can make us log. */
const maximumMessageLength = 1024;

/**
 * Whether parsing may end with this: an error with a code, and a message that can go into a log as it is (bounded, no line breaks,
 * no escape sequences). Anything else is a bug of ours and is thrown again.
 */
export function expectEnumerated(error: unknown): void {
  if (!(error instanceof CodedError)) throw error;
  if (error.code === '') throw new Error(`error without a code: ${error.message}`);
  expectPrintable(error.message);
}

/** One line of text, whatever a peer has put into it. */
export function expectPrintable(message: string): void {
  if (message.length > maximumMessageLength) {
    throw new Error(`message of ${message.length} characters: ${message.slice(0, 100)}…`);
  }
  if (/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/.test(message)) {
    throw new Error(`message with control characters: ${JSON.stringify(message)}`);
  }
}

/** Reads an input field by field, as many as there are; what is not there is 0. */
export class InputReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#position;
  }

  byte(): number {
    return this.#position < this.#bytes.length ? this.#bytes[this.#position++] : 0;
  }

  uint16(): number {
    return (this.byte() << 8) | this.byte();
  }

  take(length: number): Uint8Array {
    const start = this.#position;
    this.#position = Math.min(this.#bytes.length, start + length);
    return this.#bytes.slice(start, this.#position);
  }
}

/** Messages of one input: each with its length in 2 bytes before it. */
export function frame(...messages: readonly Uint8Array[]): Uint8Array {
  const parts = messages.flatMap((message) => [
    Uint8Array.of(message.length >> 8, message.length),
    message,
  ]);
  return Uint8Array.from(Buffer.concat(parts));
}

/** The messages of an input made by `frame`, and changed since: the last one ends where the input does. */
export function unframe(input: Uint8Array): Uint8Array[] {
  const reader = new InputReader(input);
  const messages: Uint8Array[] = [];
  while (reader.left > 0) messages.push(reader.take(reader.uint16()));
  return messages;
}
