/**
 * One iSCSI connection, from connect to the transport's last word: login, then PDUs of the full feature phase in both
 * directions. Sessions and discovery stand on it; what commands mean is theirs.
 */
import { ProtocolError } from '../errors.ts';
import { ConnectionEnd } from '../transport/transport.ts';
import type { Portal, Transport, TransportEvents } from '../transport/transport.ts';
import { BhsField, Opcode, opcodeAt, reservedTag } from '../wire/bhs.ts';
import { SlotUse } from './connection-contract.ts';
import type { ConnectionEvents, ConnectionOptions } from './connection-contract.ts';
import { Keepalive, KeepaliveAction } from './keepalive.ts';
import { LoginExchange } from './login-exchange.ts';
import { readAsyncMessage } from './pdu/async-message.ts';
import { LogoutReason, readLogoutResponse, writeLogoutRequest } from './pdu/logout.ts';
import { readNopIn, writeNopOut } from './pdu/nop.ts';
import { readReject } from './pdu/reject.ts';
import type { Reject } from './pdu/reject.ts';
import { ScsiResponse, readDataInStatus, readScsiResponse } from './pdu/scsi-response.ts';
import { readTaskManagementResponse } from './pdu/task-management.ts';
import { readTextResponse } from './pdu/text.ts';
import { ConnectionState, connectionStateMachine } from './session-state.ts';

export class Connection implements TransportEvents {
  readonly transport: Transport;
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #machine = connectionStateMachine();
  readonly #login: LoginExchange;
  readonly #keepalive: Keepalive;
  /** Read into again and again: the end of a command allocates nothing. */
  readonly #response = new ScsiResponse();
  readonly #use: Uint8Array;
  #pingPdu = -1;
  #logoutPdu = -1;
  #logoutEnd: ConnectionEnd = ConnectionEnd.requested;
  #logoutDetail = '';
  #time2Wait = 0;
  #wasLoggedIn = false;
  #fullFeaturePdus = 0;
  #replyless = 0;
  /** The transport's counter at the last tick. */
  #heard = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.transport = options.createTransport(this);
    const { capabilities, pdus } = this.transport;
    this.#use = new Uint8Array(pdus.capacity);
    this.#login = new LoginExchange(options, this.transport, {
      ...options.login,
      rdma: capabilities.rdma,
      receiveDataSegmentLength: capabilities.receiveDataSegmentLength,
    });
    const { nopIntervalMs, nopTimeoutMs } = options.timeouts;
    this.#keepalive = new Keepalive(nopIntervalMs, nopTimeoutMs);
  }

  get state(): ConnectionState {
    return this.#machine.current;
  }

  get wasLoggedIn(): boolean {
    return this.#wasLoggedIn;
  }

  /** PDUs that have come since the login. 0: the target may have been taken by surprise, and a new login cures it. */
  get fullFeaturePdus(): number {
    return this.#fullFeaturePdus;
  }

  /** PDUs sent that get no answer: some targets never give back the receive buffer that each of them takes. */
  get replyless(): number {
    return this.#replyless;
  }

  /** An aborted command, too, is one that gets no answer. */
  countReplyless(): void {
    this.#replyless++;
  }

  /** A slot for a request that will be answered; -1 when there is none now, or nothing may be sent any more. */
  claim(use: SlotUse): number {
    const { current: state } = this.#machine;
    if (state !== ConnectionState.loggedIn && state !== ConnectionState.inLogout) return -1;
    const pdu = this.transport.newPdu();
    if (pdu !== -1) this.#use[pdu] = use;
    return pdu;
  }

  release(pdu: number): void {
    this.#use[pdu] = SlotUse.free;
    this.transport.freePdu(pdu);
  }

  open(portal: Portal): void {
    this.#machine.enter('xpt-wait');
    this.#options.window.reset(this.#options.firstCmdSn);
    this.#startTimer(this.#options.timeouts.loginTimeoutMs, () => {
      const connected = this.#machine.current === ConnectionState.inLogin;
      this.disconnect(
        connected ? ConnectionEnd.loginTimeout : ConnectionEnd.connectTimeout,
        connected ? 'the login did not end in time' : 'no connection in time',
      );
    });
    this.transport.connect(portal);
  }

  /** Ends the connection without a logout; `onConnectionClosed` follows. Idempotent. */
  disconnect(end: ConnectionEnd, detail: string): void {
    const { current: state } = this.#machine;
    if (state === ConnectionState.free || state === ConnectionState.cleanupWait) return;
    this.#machine.enter('cleanup-wait');
    this.#stopTimer();
    this.transport.disconnect(end, detail);
  }

  /** Logs out (RFC 7143 §11.14, close the session) and disconnects, with or without an answer in time. */
  logout(end: ConnectionEnd, detail: string): void {
    if (this.#machine.current !== ConnectionState.loggedIn) {
      this.disconnect(end, detail);
      return;
    }
    this.#machine.enter('in-logout');
    this.#logoutEnd = end;
    this.#logoutDetail = detail;
    this.#startTimer(this.#options.timeouts.logoutTimeoutMs, () => {
      this.disconnect(end, detail);
    });
    this.#sendLogout();
  }

  /** To be called regularly: pings, and finds a dead peer. */
  tick(nowMs: number): void {
    const { current: state } = this.#machine;
    if (state === ConnectionState.inLogout && this.#logoutPdu === -1) this.#sendLogout();
    if (state !== ConnectionState.loggedIn) return;
    const { heard } = this.transport;
    if (heard !== this.#heard) this.#keepalive.onHeard();
    this.#heard = heard;
    const action = this.#keepalive.check(nowMs);
    if (action === KeepaliveAction.dead) {
      this.disconnect(ConnectionEnd.nopTimeout, 'the target is silent, pings included');
    } else if (action === KeepaliveAction.ping) {
      this.#ping(nowMs);
    }
  }

  // What the transport reports.

  onConnected(): void {
    if (this.#machine.current !== ConnectionState.transportWait) return;
    this.#machine.enter('in-login');
    this.#events.onLoginStarted();
    this.#login.start();
  }

  onPdu(pdu: number, bhsOffset: number, dataOffset: number, dataLength: number): void {
    try {
      switch (this.#machine.current) {
        case ConnectionState.inLogin:
          this.#onLoginPdu(bhsOffset, dataOffset, dataLength);
          break;
        case ConnectionState.loggedIn:
        case ConnectionState.inLogout:
          this.#onFullFeaturePdu(pdu, bhsOffset, dataOffset, dataLength);
          break;
        case ConnectionState.free:
        case ConnectionState.transportWait:
        case ConnectionState.cleanupWait:
          // Too late: whoever it was for is served when the connection is closed.
          break;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.disconnect(ConnectionEnd.protocolError, error.message);
    }
  }

  onWritable(): void {
    const { current: state } = this.#machine;
    if (state === ConnectionState.inLogout && this.#logoutPdu === -1) this.#sendLogout();
    if (state === ConnectionState.loggedIn) this.#events.onWritable();
  }

  onClosed(end: ConnectionEnd, detail: string): void {
    const outcome =
      this.#machine.current === ConnectionState.inLogin ? this.#login.endedByClose() : undefined;
    this.#machine.enter('free');
    this.#stopTimer();
    if (outcome !== undefined) this.#events.onLoginEnded(outcome);
    this.#events.onConnectionClosed(end, detail, this.#time2Wait);
  }

  #onLoginPdu(bhsOffset: number, dataOffset: number, dataLength: number): void {
    const opcode = opcodeAt(this.#options.arena.bytes, bhsOffset);
    if (opcode !== Opcode.loginResponse) {
      throw new ProtocolError('LOGIN_PDU', `opcode ${hex(opcode)} came during login`);
    }
    const outcome = this.#login.receive(bhsOffset, dataOffset, dataLength);
    if (outcome === undefined) return;
    if (outcome.kind === 'complete') {
      this.#machine.enter('logged-in');
      this.#wasLoggedIn = true;
      this.#stopTimer();
      this.#keepalive.start(this.#options.timers.now());
      this.#events.onLoginEnded(outcome);
      return;
    }
    this.#events.onLoginEnded(outcome);
    this.disconnect(
      ConnectionEnd.loginFailed,
      outcome.kind === 'fail' ? outcome.message : `redirected to ${outcome.address}`,
    );
  }

  #onFullFeaturePdu(pdu: number, bhsOffset: number, dataOffset: number, dataLength: number): void {
    const { arena, window } = this.#options;
    this.#fullFeaturePdus++;
    const view = arena.view;
    const opcode = opcodeAt(arena.bytes, bhsOffset);
    // A NOP-In that nobody asked for repeats the next StatSN without using it up (RFC 7143 §11.19.2).
    if (
      opcode !== Opcode.nopIn ||
      view.getUint32(bhsOffset + BhsField.initiatorTaskTag) !== reservedTag
    ) {
      window.acknowledge(view.getUint32(bhsOffset + BhsField.statSn));
    }
    window.update(
      view.getUint32(bhsOffset + BhsField.expCmdSn),
      view.getUint32(bhsOffset + BhsField.maxCmdSn),
    );
    if (opcode === Opcode.scsiResponse) {
      this.#expect(pdu, SlotUse.command, 'SCSI Response');
      readScsiResponse(view, bhsOffset, dataOffset, dataLength, this.#response);
      this.#events.onScsiResponse(pdu, this.#response);
    } else if (opcode === Opcode.dataIn) {
      this.#expect(pdu, SlotUse.command, 'SCSI Data-In');
      readDataInStatus(view, bhsOffset, this.#response);
      this.#events.onScsiResponse(pdu, this.#response);
    } else {
      this.#onControlPdu(opcode, pdu, bhsOffset, dataOffset, dataLength);
      if (this.#machine.current === ConnectionState.loggedIn) this.#events.onWritable();
    }
  }

  #onControlPdu(
    opcode: number,
    pdu: number,
    bhsOffset: number,
    dataOffset: number,
    dataLength: number,
  ): void {
    const view = this.#options.arena.view;
    switch (opcode) {
      case Opcode.nopIn:
        this.#onNopIn(pdu, bhsOffset);
        break;
      case Opcode.taskManagementResponse: {
        this.#expect(pdu, SlotUse.taskManagement, 'Task Management Function Response');
        const { response } = readTaskManagementResponse(view, bhsOffset);
        this.release(pdu);
        this.#events.onTaskManagementResponse(pdu, response);
        break;
      }
      case Opcode.textResponse:
        this.#expect(pdu, SlotUse.text, 'Text Response');
        this.#events.onTextResponse(pdu, readTextResponse(view, bhsOffset, dataOffset, dataLength));
        break;
      case Opcode.logoutResponse:
        this.#expect(pdu, SlotUse.logout, 'Logout Response');
        this.#time2Wait = readLogoutResponse(view, bhsOffset).time2Wait;
        this.disconnect(this.#logoutEnd, this.#logoutDetail);
        break;
      case Opcode.asyncMessage:
        this.#events.onAsyncMessage(readAsyncMessage(view, bhsOffset, dataOffset, dataLength));
        break;
      case Opcode.reject:
        this.#onReject(readReject(view, bhsOffset, dataOffset, dataLength));
        break;
      default:
        throw new ProtocolError('UNEXPECTED_OPCODE', `opcode ${hex(opcode)} in full feature phase`);
    }
  }

  #onNopIn(pdu: number, bhsOffset: number): void {
    const nop = readNopIn(this.#options.arena.view, bhsOffset);
    if (nop.initiatorTaskTag !== reservedTag) {
      this.#expect(pdu, SlotUse.ping, 'NOP-In');
      this.#endPing();
    } else if (nop.targetTransferTag !== reservedTag) {
      const answer = this.transport.newPdu();
      // Without a slot the target asks again, or drops the connection; both are survived.
      if (answer === -1) return;
      this.#replyless++;
      this.#writeNop(answer, nop.lunHigh, nop.lunLow, reservedTag, nop.targetTransferTag);
      this.transport.freePdu(answer);
    }
  }

  #onReject(reject: Reject): void {
    const pdu = this.transport.pdus.find(reject.rejectedTaskTag);
    const use = pdu === -1 ? SlotUse.free : (this.#use[pdu] as SlotUse);
    if (use === SlotUse.ping) this.#endPing();
    else if (use === SlotUse.logout) this.disconnect(this.#logoutEnd, this.#logoutDetail);
    else this.#events.onReject(pdu, use, reject);
  }

  #ping(nowMs: number): void {
    const pdu = this.claim(SlotUse.ping);
    if (pdu === -1) return;
    this.#pingPdu = pdu;
    this.#keepalive.onPingSent(nowMs);
    this.#writeNop(pdu, 0, 0, this.transport.pdus.itt(pdu), reservedTag);
  }

  #endPing(): void {
    this.release(this.#pingPdu);
    this.#pingPdu = -1;
    this.#keepalive.onPong();
  }

  #writeNop(pdu: number, lunHigh: number, lunLow: number, itt: number, ttt: number): void {
    const { arena, window } = this.#options;
    const bhsOffset = this.transport.pdus.bhsOffset[pdu];
    writeNopOut(arena.view, bhsOffset, lunHigh, lunLow, itt, ttt, window.cmdSn, window.expStatSn);
    this.transport.queuePdu(pdu);
  }

  #sendLogout(): void {
    const { arena, window } = this.#options;
    const { pdus } = this.transport;
    this.#logoutPdu = this.claim(SlotUse.logout);
    if (this.#logoutPdu === -1) return;
    writeLogoutRequest(
      arena.view,
      pdus.bhsOffset[this.#logoutPdu],
      LogoutReason.closeSession,
      pdus.itt(this.#logoutPdu),
      0,
      window.cmdSn,
      window.expStatSn,
    );
    this.transport.queuePdu(this.#logoutPdu);
  }

  /** Refuses an answer whose tag is none, or that of another kind of request. */
  #expect(pdu: number, use: SlotUse, name: string): void {
    if (pdu !== -1 && this.#use[pdu] === use) return;
    throw new ProtocolError(
      'UNEXPECTED_TAG',
      `${name}: its Initiator Task Tag is not that of such a request`,
    );
  }

  #startTimer(delayMs: number, callback: () => void): void {
    this.#stopTimer();
    this.#cancelTimer = this.#options.timers.schedule(delayMs, callback);
  }

  #stopTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}
