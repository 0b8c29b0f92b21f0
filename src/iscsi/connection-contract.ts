/** What a connection is made from and what it reports. */
import type { ArenaMemory } from '../reactor/reactor.ts';
import type { ConnectionEnd, Transport, TransportEvents } from '../transport/transport.ts';
import type { CommandWindow } from './command-window.ts';
import type { LoginOptions } from './login-contract.ts';
import type { ArenaRange, LoginOutcome } from './login-exchange.ts';
import type { AsyncMessage } from './pdu/async-message.ts';
import type { Reject } from './pdu/reject.ts';
import type { ScsiResponse } from './pdu/scsi-response.ts';
import type { TextResponse } from './pdu/text.ts';
import type { Timers } from '../timers.ts';

export type TransportFactory = (events: TransportEvents) => Transport;

/** What every login of a session offers; the rest depends on the transport. */
export type LoginTemplate = Omit<LoginOptions, 'rdma' | 'receiveDataSegmentLength'>;

export interface ConnectionTimeouts {
  /** From connect to the last login response; above the 15 s that targets allow, so that no login is cut half-way. */
  readonly loginTimeoutMs: number;
  readonly logoutTimeoutMs: number;
  /** 0: no pings. */
  readonly nopIntervalMs: number;
  readonly nopTimeoutMs: number;
}

export interface ConnectionOptions {
  readonly createTransport: TransportFactory;
  readonly arena: ArenaMemory;
  readonly timers: Timers;
  readonly window: CommandWindow;
  readonly isid: Uint8Array;
  readonly firstCmdSn: number;
  readonly login: LoginTemplate;
  readonly textBuffer: ArenaRange;
  readonly queueDepth: number;
  readonly timeouts: ConnectionTimeouts;
}

/** What a PDU slot was taken for: an answer of another kind than its tag's request is a lie of the target. */
export const SlotUse = {
  free: 0,
  command: 1,
  taskManagement: 2,
  text: 3,
  ping: 4,
  logout: 5,
} as const;
export type SlotUse = (typeof SlotUse)[keyof typeof SlotUse];

export interface ConnectionEvents {
  onLoginStarted(): void;
  /** The login has ended. After anything but `complete` the connection closes by itself. */
  onLoginEnded(outcome: LoginOutcome): void;
  /** `pdu` is a slot taken for a command, still the caller's to release; `response` is valid until return. */
  onScsiResponse(pdu: number, response: ScsiResponse): void;
  /** `pdu` has been released. */
  onTaskManagementResponse(pdu: number, response: number): void;
  /** The slot is still the caller's: it lives as long as the exchange. */
  onTextResponse(pdu: number, response: TextResponse): void;
  onAsyncMessage(message: AsyncMessage): void;
  /** `pdu`: the slot whose request was rejected, still the caller's to release, and its use; -1 when it names none. */
  onReject(pdu: number, use: SlotUse, reject: Reject): void;
  /** Something may be sent again: PDU slots or the command window. */
  onWritable(): void;
  /** Once; no peer touches any memory any more. Seconds to wait are what the target has asked for in its Logout Response. */
  onConnectionClosed(end: ConnectionEnd, detail: string, time2Wait: number): void;
}
