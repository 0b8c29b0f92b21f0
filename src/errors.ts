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
