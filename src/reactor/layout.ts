/**
 * The arrays through which TypeScript and the native reactor talk: one entry per operation, one crossing per batch; and words that
 * native code looks at when it needs them.
 * native/reactor/layout.h holds the same numbers; a unit test compares both through `native.layout()`.
 *
 * Submission entry, 12 x uint32 (48 bytes):
 *   0 operation   1 object   2 tag   3 offset   4 length   5 key
 *   6 offset2     7 length2  8 key2  9 flags    10 minimumLength   11 reserved
 * Completion entry, 8 x uint32 (32 bytes):
 *   0 kind        1 object   2 tag   3 result   4 status   5 detail   6 detail2   7 reserved
 *
 * Offsets are arena offsets. `object` is a native object's id: index in the low 16 bits, generation above it.
 */
export const submissionWords = 12;
export const completionWords = 8;
export const controlWords = 2;

export const SubmissionWord = {
  operation: 0,
  object: 1,
  tag: 2,
  offset: 3,
  length: 4,
  key: 5,
  offset2: 6,
  length2: 7,
  key2: 8,
  flags: 9,
  minimumLength: 10,
} as const;

export const CompletionWord = {
  kind: 0,
  object: 1,
  tag: 2,
  result: 3,
  status: 4,
  detail: 5,
  detail2: 6,
} as const;

export const ControlWord = {
  /** While not 0: sockets that are ready are left alone for so long, so that more is ready when they are looked at. */
  gatherMicroseconds: 0,
  /** How long to poll before sleeping; 0: not at all. */
  spinMicroseconds: 1,
} as const;

export const Operation = {
  /** Stream: fill [offset, +length), complete once minimumLength bytes are in (0 counts as 1). One at a time per stream. */
  receive: 1,
  /** Stream: send segment 1 then segment 2 (length2 may be 0). Sends of one stream go out in order, gathered. */
  send: 2,
  /** RDMA: post a SEND of segment 1 (lkey `key`) and, if length2 > 0, segment 2 (lkey `key2`). */
  rdmaSend: 3,
  /** RDMA: post a receive of [offset, +length), lkey `key`. */
  rdmaReceive: 4,
  /** Stream: end the pending receive; it completes with what has landed and ECANCELED. Without one nothing happens. */
  cancelReceive: 5,
} as const;

/** Submission flags. */
export const SubmissionFlag = {
  /** send: report completion when the last byte is with the kernel (without it, success is silent, failure is not). */
  notify: 1,
  /** rdmaSend: segment 1 may be sent inline: its memory is free when submit returns. */
  inline: 2,
} as const;

export const CompletionKind = {
  /** result = bytes, status = 0, an errno, or `endOfFile`. */
  receive: 1,
  /** status = 0 or errno. After an errno the stream is dead. */
  send: 2,
  /** Listener: result = the accepted fd (owned by us), status = 0 or errno. */
  accept: 3,
  /** Stream opened by connectStream: status = 0 or errno. */
  connect: 4,
  /** status = ibv_wc_status, detail = vendor error. Only tag and status are valid when status is not 0. */
  rdmaSend: 5,
  /** result = byte_len, status = ibv_wc_status, detail = vendor error, detail2 = 1 when an rkey was invalidated. */
  rdmaReceive: 6,
  /** RDMA connection manager: result = rdma_cm_event_type, status = the event's status as a two's complement int32. */
  cmEvent: 7,
  /** Device or QP asynchronous event: result = ibv_event_type. */
  deviceEvent: 8,
} as const;

/** Stream status that is not an errno: the peer closed its end. */
export const endOfFile = 0xffffffff;
