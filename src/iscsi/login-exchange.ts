/** The login phase of one connection: the login engine's requests as PDUs, one at a time (RFC 7143 §6.3). */
import { assert } from '../errors.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import type { FullFeatureParameters, Transport } from '../transport/transport.ts';
import type { CommandWindow } from './command-window.ts';
import { LoginFailure } from './login-status.ts';
import { LoginEngine } from './login.ts';
import type { LoginOptions, LoginRequest, LoginStep, SessionParameters } from './login-contract.ts';
import { readLoginResponse, writeLoginRequest } from './pdu/login.ts';

/** A range of the arena. */
export interface ArenaRange {
  readonly offset: number;
  readonly length: number;
}

export interface LoginExchangeOptions {
  readonly arena: ArenaMemory;
  readonly window: CommandWindow;
  /** Where the text of requests is put; one request is outstanding at a time. */
  readonly textBuffer: ArenaRange;
  /** 6 bytes; the same for the life of a session, so that a new login reinstates it (RFC 7143 §6.3.5). */
  readonly isid: Uint8Array;
  readonly queueDepth: number;
}

const connectionId = 0;
const newSession = 0;

export type LoginOutcome = Exclude<LoginStep, { kind: 'send' }>;

export class LoginExchange {
  readonly #options: LoginExchangeOptions;
  readonly #transport: Transport;
  readonly #engine: LoginEngine;
  /** One slot, hence one Initiator Task Tag, for the whole exchange: targets insist on it. */
  #pdu = -1;

  constructor(options: LoginExchangeOptions, transport: Transport, login: LoginOptions) {
    this.#options = options;
    this.#transport = transport;
    this.#engine = new LoginEngine(login);
  }

  start(): void {
    this.#pdu = this.#transport.newPdu();
    assert(this.#pdu !== -1, 'a new connection has no PDU slot');
    this.#send(this.#engine.start());
  }

  /** What it means that the connection is closed now; undefined: nothing about the login. */
  endedByClose(): Extract<LoginOutcome, { kind: 'fail' }> | undefined {
    if (!this.#engine.awaitsAuthentication) return undefined;
    return {
      kind: 'fail',
      failure: LoginFailure.authenticationUnanswered,
      statusClass: 0,
      statusDetail: 0,
      message:
        'the target closed the connection instead of answering the CHAP response: it has probably refused the authentication',
      retryable: true,
    };
  }

  /** A Login Response; undefined while the exchange goes on. Throws ProtocolError. */
  receive(bhsOffset: number, dataOffset: number, dataLength: number): LoginOutcome | undefined {
    const { arena, window } = this.#options;
    const response = readLoginResponse(arena.view, bhsOffset, dataOffset, dataLength);
    window.startStatus(response.statSn);
    const step = this.#engine.receive(response);
    if (step.kind === 'send') {
      this.#send(step.request);
      return undefined;
    }
    this.#transport.freePdu(this.#pdu);
    if (step.kind === 'complete') {
      window.update(response.expCmdSn, response.maxCmdSn);
      this.#transport.enterFullFeature(this.#fullFeature(step.result.parameters));
    }
    return step;
  }

  #send(request: LoginRequest): void {
    const { arena, window, textBuffer, isid } = this.#options;
    const pdus = this.#transport.pdus;
    const pdu = this.#pdu;
    assert(request.text.length <= textBuffer.length, 'login text is longer than its buffer');
    if (request.entersFullFeature) {
      this.#transport.prepareFullFeature(this.#fullFeature(this.#engine.provisionalParameters()));
    }
    arena.bytes.set(request.text, textBuffer.offset);
    pdus.dataSegmentOffset[pdu] = textBuffer.offset;
    pdus.dataSegmentLength[pdu] = request.text.length;
    writeLoginRequest(
      arena.view,
      pdus.bhsOffset[pdu],
      request,
      isid,
      newSession,
      pdus.itt(pdu),
      connectionId,
      window.cmdSn,
      window.expStatSn,
    );
    this.#transport.queuePdu(pdu);
  }

  #fullFeature(parameters: SessionParameters): FullFeatureParameters {
    return {
      headerDigest: parameters.headerDigest,
      dataDigest: parameters.dataDigest,
      initialR2t: parameters.initialR2t,
      immediateData: parameters.immediateData,
      firstBurstLength: parameters.firstBurstLength,
      maxBurstLength: parameters.maxBurstLength,
      maxSendDataSegmentLength: parameters.maxSendDataSegmentLength,
      maxReceiveDataSegmentLength: parameters.maxReceiveDataSegmentLength,
      maxOutstandingR2t: parameters.maxOutstandingR2t,
      queueDepth: this.#options.queueDepth,
    };
  }
}
