import { maximumPayloadLength } from './constants.ts';

/** What one client may cost. All lengths in bytes. */
export interface NbdLimits {
  /** Requests accepted and not yet answered. */
  readonly requests: number;
  /** Payload of requests accepted whose memory is not free yet. One request is always let through. */
  readonly bytesInFlight: number;
  /** READ or WRITE; at most 32 MiB, which every server should take. */
  readonly payloadLength: number;
  /** Payload of a refused WRITE up to this length is read and thrown away; a longer one ends the connection. */
  readonly discardLength: number;
  /** Receive buffer of a connection; payloads are used where they landed in it. */
  readonly chunkLength: number;
  /** From greeting to transmission phase. */
  readonly handshakeMs: number;
  /**
   * Longest time in which a client that owes us something makes no progress: takes none of its replies, or sends nothing of the rest of a
   * request. 0: for ever, as for the kernel's own client, which is always trusted. An idle client owes nothing.
   */
  readonly stallMs: number;
  /** Bytes of all options together before the connection is closed. */
  readonly handshakeLength: number;
  /** Options before the connection is closed. */
  readonly options: number;
  /** Data of one option that is looked at. */
  readonly optionLength: number;
  /** Data of one option that is read and thrown away with NBD_REP_ERR_TOO_BIG; a longer one ends the connection. */
  readonly optionDiscardLength: number;
}

/** Clients of one volume's socket at a time; one more is turned away. */
export const defaultMaximumClients = 128;

export const defaultLimits: NbdLimits = {
  requests: 128,
  bytesInFlight: 64 * 1024 * 1024,
  payloadLength: maximumPayloadLength,
  discardLength: 2 * maximumPayloadLength,
  chunkLength: 64 * 1024,
  handshakeMs: 10_000,
  stallMs: 60_000,
  handshakeLength: 256 * 1024,
  options: 64,
  optionLength: 8 * 1024,
  optionDiscardLength: 64 * 1024,
};
