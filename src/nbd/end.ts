/** Why an NBD connection ended. Logs, metrics and tests share these words. */
export const NbdEnd = {
  /** NBD_CMD_DISC, everything before it answered. */
  disconnected: 'disconnected',
  /** NBD_OPT_ABORT. */
  aborted: 'aborted',
  /** `close` was called. */
  requested: 'requested',
  /** `drain` was called and is complete: no byte of a further request has been taken from the socket. */
  drained: 'drained',
  /** End of file between two requests or options. */
  peerClosed: 'peer-closed',
  /** End of file within a request. */
  truncatedRequest: 'truncated-request',
  /** The socket failed. */
  connectionReset: 'connection-reset',
  handshakeTimeout: 'handshake-timeout',
  /** Magic or client flags of the handshake are not NBD's. */
  badHandshake: 'bad-handshake',
  optionTooLong: 'option-too-long',
  tooManyOptions: 'too-many-options',
  /** The options of one handshake are longer than all of them together may be. */
  handshakeTooLong: 'handshake-too-long',
  /** NBD_OPT_EXPORT_NAME for an export that does not exist: the option has no error reply. */
  unknownExport: 'unknown-export',
  badRequestMagic: 'bad-request-magic',
  /** The payload of a refused write is too long to be read and thrown away. */
  payloadTooLong: 'payload-too-long',
  /** Replies wait, and the client has taken none for too long. */
  repliesNotTaken: 'replies-not-taken',
  /** Part of a request has come and the rest has not, for too long. */
  requestNotCompleted: 'request-not-completed',
  /** There was no memory for the connection's own buffers. */
  noMemory: 'no-memory',
} as const;
export type NbdEnd = (typeof NbdEnd)[keyof typeof NbdEnd];

/** The ends of clients that broke the protocol or a limit: they were dropped by rule, and that is counted. */
export const ruleEnds: ReadonlySet<NbdEnd> = new Set([
  NbdEnd.handshakeTimeout,
  NbdEnd.badHandshake,
  NbdEnd.optionTooLong,
  NbdEnd.tooManyOptions,
  NbdEnd.handshakeTooLong,
  NbdEnd.badRequestMagic,
  NbdEnd.payloadTooLong,
  NbdEnd.repliesNotTaken,
  NbdEnd.requestNotCompleted,
]);
