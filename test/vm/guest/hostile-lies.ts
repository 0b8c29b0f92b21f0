/** What hostile targets do, and what must become of the connection: a row for each lie of guest/hostile-iser-target/lies.py. */
import type { ConnectionEnd } from '../../../src/transport/transport.ts';

export interface Lie {
  readonly what: string;
  /** Its name in lies.py. */
  readonly lie: string;
  /** The command about which it is told; default a read. */
  readonly about?: 'read' | 'write';
  /** How the first connections end; empty: none does. */
  readonly ends: readonly ConnectionEnd[];
  readonly detail?: RegExp;
  /** What ends it for the target. */
  readonly loss?: RegExp;
  /** The block does not hold what was written. */
  readonly isLost?: boolean;
  /** Seconds, by configuration key. */
  readonly timeouts?: Readonly<Record<string, number>>;
  /** The command is answered all the same; those after it are not. */
  readonly isFeltLater?: boolean;
}

export const messages: readonly Lie[] = [
  {
    what: 'noise',
    lie: 'noise',
    ends: ['protocol-error'],
    detail: /iSER header of type 0xf/,
  },
  {
    what: 'a message of no bytes',
    lie: 'empty-message',
    ends: ['protocol-error'],
    detail: /0 bytes/,
  },
  {
    what: 'a message shorter than its headers',
    lie: 'short-message',
    ends: ['protocol-error'],
    detail: /message of 75 bytes/,
  },
  {
    what: 'a data segment that is not in the message',
    lie: 'promised-data',
    ends: ['protocol-error'],
    detail: /message of 96 bytes/,
  },
  {
    what: 'a message longer than the receive buffers',
    lie: 'long-message',
    ends: ['completion-error'],
    // Devices differ in how they put it: soft-RoCE says LOC_QP_OP_ERR and REM_OP_ERR.
    detail: /LOC_LEN_ERR|LOC_QP_OP_ERR/,
    loss: /REM_INV_REQ_ERR|REM_OP_ERR/,
  },
  { what: 'Hello', lie: 'hello', ends: ['protocol-error'], detail: /Hello/ },
  {
    what: 'a response with a tag that nobody has given',
    lie: 'unknown-tag',
    ends: ['protocol-error'],
    detail: /belongs to no outstanding PDU/,
  },
  {
    what: 'a second response to the same command',
    lie: 'second-response',
    ends: ['protocol-error'],
    detail: /belongs to no outstanding PDU/,
  },
  {
    what: 'a residual count above the transfer',
    lie: 'too-large-residual',
    ends: ['protocol-error'],
    detail: /ResidualCount/,
  },
  {
    what: 'RDMA WRITE with immediate data, which uses up a receive like a message',
    lie: 'write-with-immediate',
    ends: ['protocol-error'],
    detail: /message of 0 bytes/,
  },
  { what: 'more messages than there are receives', lie: 'flood', ends: [] },
];

export const remoteAccess: readonly Lie[] = [
  {
    what: 'RDMA WRITE with an STag that was never given',
    lie: 'wrong-read-stag',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'RDMA WRITE with STag 0',
    lie: 'stag-zero',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'RDMA WRITE far beyond the buffer',
    lie: 'write-far-beyond',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'RDMA READ far beyond the buffer',
    lie: 'read-far-beyond',
    about: 'write',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'send with invalidate of an STag that was never given',
    lie: 'invalidate-wrong-stag',
    ends: ['completion-error'],
    detail: /REM_INV_REQ_ERR/,
  },
  {
    what: 'send with invalidate, which was refused when connecting',
    lie: 'invalidate-read-stag',
    ends: ['completion-error'],
    detail: /REM_INV_REQ_ERR/,
  },
];

/** Where the STag ends with its command and covers nothing else. */
export const exactAccess: readonly Lie[] = [
  {
    what: 'RDMA WRITE of one byte more than was asked for',
    lie: 'write-beyond-end',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'RDMA WRITE of the byte before the buffer',
    lie: 'write-before-start',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'RDMA WRITE into data that is to be written',
    lie: 'write-into-write-data',
    about: 'write',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'RDMA READ of one byte more than is to be written',
    lie: 'read-beyond-end',
    about: 'write',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
  {
    what: 'RDMA WRITE after the response',
    lie: 'write-after-response',
    ends: ['completion-error'],
    loss: /REM_ACCESS_ERR/,
  },
];

const silent = { nop_interval: 1, nop_timeout: 2 };

export const conduct: readonly Lie[] = [
  {
    what: 'a disconnect between RDMA WRITE and response',
    lie: 'disconnect-before-response',
    ends: ['peer-closed'],
  },
  { what: 'no answer to one command, which is aborted', lie: 'no-response', ends: [] },
  { what: 'silence', lie: 'silence', ends: ['nop-timeout'], timeouts: silent },
  {
    what: 'silence instead of a login response',
    lie: 'silent-login',
    ends: ['peer-closed', 'login-timeout'],
  },
  {
    what: 'a rejected connection',
    lie: 'rejected-connection',
    ends: ['peer-closed', 'connect-refused'],
  },
  // What no initiator can find out: the write is lost, and nothing else.
  {
    what: 'GOOD for a write whose data was never fetched',
    lie: 'good-without-taking',
    about: 'write',
    ends: [],
    isLost: true,
  },
];

export const lasting: readonly Lie[] = [
  messages[2],
  remoteAccess[0],
  { what: 'silence', lie: 'silence', ends: ['nop-timeout'] },
  {
    what: 'silence instead of a login response',
    lie: 'silent-login',
    ends: ['peer-closed', 'login-timeout'],
    timeouts: { login_timeout: 2 },
  },
  {
    what: 'rejected connections',
    lie: 'rejected-connection',
    ends: ['peer-closed', 'connect-refused'],
  },
  { what: 'a command window that stays shut', lie: 'shut-window', ends: [], isFeltLater: true },
];
