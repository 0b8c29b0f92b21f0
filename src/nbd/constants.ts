/**
 * Numbers of the NBD protocol (proto.md). Four sets of flags are kept apart by name: handshake flags, client flags,
 * transmission flags and command flags. 64-bit magics are kept as two 32-bit halves, so that no bigint is made per message.
 */

/** "NBDMAGIC" and "IHAVEOPT" (proto.md: Newstyle negotiation). */
export const nbdMagicHigh = 0x4e42444d;
export const nbdMagicLow = 0x41474943;
export const optionMagicHigh = 0x49484156;
export const optionMagicLow = 0x454f5054;

/** Magic of every reply to an option: 0x0003e889045565a9. */
export const optionReplyMagicHigh = 0x0003e889;
export const optionReplyMagicLow = 0x045565a9;

export const requestMagic = 0x25609513;
export const simpleReplyMagic = 0x67446698;
export const structuredReplyMagic = 0x668e33ef;

/** magic u32, command flags u16, type u16, cookie u64, offset u64, length u32. */
export const requestHeaderLength = 28;
/** magic u32, error u32, cookie u64. */
export const simpleReplyLength = 16;
/** magic u32, flags u16, type u16, cookie u64, length u32. */
export const chunkHeaderLength = 20;
/** magic u64, option u32, length u32. */
export const optionHeaderLength = 16;
/** magic u64, option u32, reply type u32, length u32. */
export const optionReplyHeaderLength = 20;

/** A payload up to this length must never be taken for a denial of service (proto.md: Size constraints). */
export const maximumPayloadLength = 32 * 1024 * 1024;
/** Longest string on the wire (proto.md: Values). */
export const maximumStringLength = 4096;

export const HandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const ClientFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const TransmissionFlag = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  rotational: 16,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
  sendResize: 512,
  sendCache: 1024,
  sendFastZero: 2048,
} as const;

/** NBD_OPT_*. */
export const Option = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

/** NBD_REP_*; errors have bit 31. */
export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errorUnsupported: 0x80000001,
  errorPolicy: 0x80000002,
  errorInvalid: 0x80000003,
  errorTlsRequired: 0x80000005,
  errorUnknown: 0x80000006,
  errorShutdown: 0x80000007,
  errorTooBig: 0x80000009,
} as const;

/** NBD_INFO_*. */
export const Info = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** NBD_CMD_*. */
export const Command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

/** NBD_CMD_FLAG_*. */
export const CommandFlag = { fua: 1, noHole: 2, df: 4, reqOne: 8, fastZero: 16 } as const;

/** NBD_REPLY_TYPE_*. */
export const ChunkType = {
  none: 0,
  offsetData: 1,
  blockStatus: 5,
  error: 0x8001,
} as const;

/** NBD_REPLY_FLAG_DONE: the last chunk of a reply. */
export const chunkFlagDone = 1;

/** The only error numbers a reply may bear (proto.md: Error values). */
export const NbdError = {
  none: 0,
  notPermitted: 1,
  io: 5,
  invalid: 22,
  noSpace: 28,
  notSupported: 95,
  shutdown: 108,
} as const;

/** The one metadata context we have, and the id under which SET_META_CONTEXT hands it out. */
export const allocationContextName = 'base:allocation';
export const allocationContextId = 1;
