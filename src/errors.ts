/**
 * Errors a caller may act on carry a stable `code`; messages are for people and say which field broke which limit.
 * Per-I/O outcomes are numbers in typed-array columns, never Error objects.
 */
export class CodedError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A peer broke its protocol: what it sent is refused, and only its own connection suffers. */
export class ProtocolError extends CodedError {}

/** The configuration, URL or command line cannot be used as written. */
export class ConfigurationError extends CodedError {}

/** A bug of ours. Never thrown because of anything a peer sent. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Most characters of a peer's text that are shown. */
const shownLength = 64;
/**
 * What JSON leaves as it is and a terminal or a log may not: DEL and the C1 controls (0x9b is an escape sequence's beginning),
 * line and paragraph separators, marks that turn the direction of text around.
 */
const unsafe = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A peer's text in a message for people: quoted, escaped and of bounded length. */
export function quoted(text: string): string {
  const shown = text.length > shownLength ? `${text.slice(0, shownLength)}…` : text;
  return JSON.stringify(shown).replace(
    unsafe,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
