/**
 * The seam under the iSCSI session: iSER and TCP are alike to it. What differs is declared in `capabilities`, never asked.
 * In RFC 5047's words this is the datamover: Data-In, R2T and Data-Out exist only below this line.
 *
 * One Transport object is one connection attempt and its life; a reconnect uses a new object. Sequence:
 *   connect -> onConnected -> login PDUs one at a time -> prepareFullFeature (before the last login request is queued)
 *   -> enterFullFeature (after the last login response) -> queuePdu ... -> disconnect -> onClosed
 */
import type { PduTable } from './pdu-table.ts';

export interface Portal {
  /** Numeric address: names are resolved before they come here. */
  readonly address: string;
  readonly port: number;
}

export interface TransportCapabilities {
  readonly name: 'iser' | 'tcp';
  /** The target places data itself; the login offers RFC 7145's keys and no digests. */
  readonly rdma: boolean;
  /** Ceiling on immediate data whatever the keys allow; 0xffffffff = the keys decide. */
  readonly maxImmediateDataLength: number;
  /** When only part of a write could go as immediate data: false = send none of it so (all solicited). */
  readonly splitImmediateData: boolean;
  /** Ceiling on the ExpectedDataTransferLength of one command. */
  readonly maxTransferLength: number;
  /** What to declare as MaxRecvDataSegmentLength / InitiatorRecvDataSegmentLength. */
  readonly receiveDataSegmentLength: number;
}

/** What login has agreed on and the transport must know. */
export interface FullFeatureParameters {
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly initialR2t: boolean;
  readonly immediateData: boolean;
  readonly firstBurstLength: number;
  readonly maxBurstLength: number;
  /** Largest data segment the target takes. */
  readonly maxSendDataSegmentLength: number;
  /** Largest data segment we have declared to take. */
  readonly maxReceiveDataSegmentLength: number;
  readonly maxOutstandingR2t: number;
  /** Commands we may have outstanding: how many receives an RDMA connection needs. */
  readonly queueDepth: number;
}

/** Why a connection ended. Logs, metrics and tests share these words. */
export const ConnectionEnd = {
  requested: 'requested',
  connectRefused: 'connect-refused',
  connectTimeout: 'connect-timeout',
  unreachable: 'unreachable',
  noDevice: 'no-rdma-device',
  peerClosed: 'peer-closed',
  connectionReset: 'connection-reset',
  completionError: 'completion-error',
  deviceRemoved: 'device-removed',
  addressChanged: 'address-changed',
  headerDigestError: 'header-digest-error',
  dataDigestError: 'data-digest-error',
  protocolError: 'protocol-error',
  loginFailed: 'login-failed',
  loginTimeout: 'login-timeout',
  nopTimeout: 'nop-timeout',
  commandTimeout: 'command-timeout',
  taskManagementTimeout: 'task-management-timeout',
  targetRequestedLogout: 'target-requested-logout',
  internalError: 'internal-error',
} as const;
export type ConnectionEnd = (typeof ConnectionEnd)[keyof typeof ConnectionEnd];

export interface TransportEvents {
  /** The connection can carry login PDUs. */
  onConnected(): void;
  /**
   * A whole PDU that the session must see, checked for length and digests: BHS at `bhsOffset`, data segment (without padding) at
   * `dataOffset`. SCSI Data-In comes here only when its S bit is set (after placement); R2T never. Valid until return.
   * `pdu` is the live slot whose tag the PDU bears, -1 when it bears none (0xffffffff); an unknown tag ends the connection below.
   */
  onPdu(pdu: number, bhsOffset: number, dataOffset: number, dataLength: number): void;
  /**
   * Once, also after `disconnect`. From here on no peer touches any buffer of this connection: tasks may be failed or requeued
   * and their memory reused. Every PDU slot is void.
   */
  onClosed(end: ConnectionEnd, detail: string): void;
  /** Slots or send resources have become free after newPdu returned -1. */
  onWritable(): void;
}

export interface Transport {
  readonly capabilities: TransportCapabilities;
  readonly pdus: PduTable;
  /** Grows with everything that comes from the target, also with what the session does not see: a sign of life. */
  readonly heard: number;
  connect(portal: Portal): void;
  /** A slot, or -1 (wait for onWritable). The session fills in the BHS (its ITT too) and the columns of `pdus`. */
  newPdu(): number;
  /**
   * Hands the PDU over; `dataSegmentLength` is written into the BHS here, from the column. A slot whose answer is in may be
   * queued again: every request of one login or text exchange bears the same tag (RFC 7143 §11.12, §11.10.4).
   */
  queuePdu(pdu: number): void;
  /** The session is done with the PDU (its response is in, or none is expected and it is queued). Read data is in place before onPdu. */
  freePdu(pdu: number): void;
  /** Called before the login request that asks for the full feature phase is queued: receives must be posted by then. */
  prepareFullFeature(parameters: FullFeatureParameters): void;
  /** Called when the final login response is in: digests and data PDUs from here on. */
  enterFullFeature(parameters: FullFeatureParameters): void;
  /** Ends the connection in bounded time; onClosed follows (also when it never was connected). Idempotent: first reason wins. */
  disconnect(end: ConnectionEnd, detail: string): void;
}
