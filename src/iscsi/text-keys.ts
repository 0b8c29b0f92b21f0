import { ProtocolError, quoted } from '../errors.ts';

export { quoted } from '../errors.ts';

/** Text of login and text PDUs: key=value pairs, each ended by a NUL byte (RFC 7143 §6.1). */
export type TextPair = readonly [key: string, value: string];

/** MaxRecvDataSegmentLength of both sides until they have declared another one (RFC 7143 §13.12). */
export const defaultDataSegmentLength = 8192;

/** RFC 7143 §6.1, key-name and its length. */
const keyNamePattern = /^[A-Z][A-Za-z0-9.\-+@_]{0,62}$/;
/** The prefixes of extension keys are the only others (RFC 7143 §13.22); RFC 7145 and RFC 7143 name two in lower case. */
const lowerCaseKeys: ReadonlySet<string> = new Set(['iSERHelloRequired', 'iSCSIProtocolLevel']);

/** RFC 7143 §6.1: a text-value is at most 8192 bytes long unless the key says less. */
const maxValueLength = 8192;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Splits a complete text into its pairs, in order. Padding NULs after the last pair are tolerated.
 * @param subject names the PDU in errors
 */
export function parseTextPairs(text: Uint8Array, subject: string): TextPair[] {
  const pairs: TextPair[] = [];
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf(0, start);
    if (end < 0) {
      throw new ProtocolError('TEXT_TRUNCATED', `${subject}: the last key has no terminating NUL`);
    }
    if (end > start) pairs.push(parsePair(text.subarray(start, end), subject));
    start = end + 1;
  }
  return pairs;
}

function parsePair(bytes: Uint8Array, subject: string): TextPair {
  let pair: string;
  try {
    pair = decoder.decode(bytes);
  } catch (cause) {
    throw new ProtocolError('TEXT_ENCODING', `${subject}: text is not UTF-8`, { cause });
  }
  const equals = pair.indexOf('=');
  if (equals < 0) {
    throw new ProtocolError('TEXT_WITHOUT_VALUE', `${subject}: ${quoted(pair)} has no "="`);
  }
  const key = pair.slice(0, equals);
  if (!keyNamePattern.test(key) && !lowerCaseKeys.has(key)) {
    throw new ProtocolError('TEXT_KEY_NAME', `${subject}: ${quoted(key)} is not a key name`);
  }
  if (bytes.length - equals - 1 > maxValueLength) {
    throw new ProtocolError(
      'TEXT_VALUE_LENGTH',
      `${subject}: the value of ${key} is longer than ${maxValueLength} bytes`,
    );
  }
  return [key, pair.slice(equals + 1)];
}

/**
 * The pairs of a negotiation, where no key may come twice (RFC 7143 §6.2); of `repeatable` keys the first one counts.
 */
export function parseTextMap(
  text: Uint8Array,
  subject: string,
  repeatable: ReadonlySet<string> = new Set(),
): Map<string, string> {
  const keys = new Map<string, string>();
  for (const [key, value] of parseTextPairs(text, subject)) {
    if (!keys.has(key)) keys.set(key, value);
    else if (!repeatable.has(key)) {
      throw new ProtocolError('TEXT_DUPLICATE_KEY', `${subject}: key ${key} comes twice`);
    }
  }
  return keys;
}

/** The bytes of a data segment. */
export function formatText(pairs: Iterable<TextPair>): Uint8Array {
  let text = '';
  for (const [key, value] of pairs) text += `${key}=${value}\0`;
  return encoder.encode(text);
}

/** How many empty continuations in a row are believed. A LIO that cannot answer SendTargets sends them for ever. */
const maxEmptyContinuations = 8;

/** Joins the text of PDUs with the C bit (RFC 7143 §6.2): a pair may be cut anywhere. */
export class TextAccumulator {
  readonly #subject: string;
  readonly #limit: number;
  #chunks: Uint8Array[] = [];
  #length = 0;
  #emptyContinuations = 0;

  /** @param limit most bytes that a text may have in all */
  constructor(subject: string, limit: number) {
    this.#subject = subject;
    this.#limit = limit;
  }

  /** Takes over `chunk`. True when the text is complete. */
  append(chunk: Uint8Array, continued: boolean): boolean {
    this.#length += chunk.length;
    if (this.#length > this.#limit) {
      throw new ProtocolError(
        'TEXT_TOO_LONG',
        `${this.#subject}: text is longer than ${this.#limit} bytes`,
      );
    }
    this.#emptyContinuations = chunk.length > 0 ? 0 : this.#emptyContinuations + 1;
    if (continued && this.#emptyContinuations > maxEmptyContinuations) {
      throw new ProtocolError(
        'TEXT_ENDLESS',
        `${this.#subject}: more than ${maxEmptyContinuations} empty PDUs with the C bit in a row`,
      );
    }
    this.#chunks.push(chunk);
    return !continued;
  }

  /** The joined text; the accumulator is empty again. */
  take(): Uint8Array {
    const text = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      text.set(chunk, at);
      at += chunk.length;
    }
    this.#chunks = [];
    this.#length = 0;
    this.#emptyContinuations = 0;
    return text;
  }
}
