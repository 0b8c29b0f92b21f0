/** A discovery session (RFC 7143 §4.3, Appendix C): log in, ask SendTargets=All, log out. One promise, one list. */
import { CodedError, ProtocolError, assert } from '../errors.ts';
import { noBuffer } from '../memory/buffer-pool.ts';
import type { BufferPool } from '../memory/buffer-pool.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import { ConnectionEnd } from '../transport/transport.ts';
import { reservedTag } from '../wire/bhs.ts';
import { CommandWindow } from './command-window.ts';
import { SlotUse } from './connection-contract.ts';
import type { ConnectionEvents, LoginTemplate, TransportFactory } from './connection-contract.ts';
import { Connection } from './connection.ts';
import { SendTargetsCollector, sendTargetsText } from './discovery.ts';
import type { DiscoveredTarget } from './discovery.ts';
import type { DigestPreference } from './login-contract.ts';
import type { LoginOutcome } from './login-exchange.ts';
import type { TextResponse } from './pdu/text.ts';
import { writeTextRequest } from './pdu/text.ts';
import { PortalRotation } from './recovery.ts';
import type { PortalAddress, Resolver } from './recovery.ts';
import { LoginRefusedError } from './session-lifetime.ts';
import type { Timers } from '../timers.ts';

export interface DiscoveryOptions {
  readonly createTransport: TransportFactory;
  readonly arena: ArenaMemory;
  readonly pool: BufferPool;
  readonly timers: Timers;
  readonly resolve: Resolver;
  readonly portal: PortalAddress;
  readonly login: Omit<LoginTemplate, 'sessionType' | 'targetName'>;
  readonly isid: Uint8Array;
  /** For everything together; default 60 s. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 60_000;
const loginTimeoutMs = 30_000;
const logoutTimeoutMs = 5000;
const maxRedirects = 4;
const textBufferLength = 8192;
/** How often the connection may be lost right after login, which some targets do to the first request, before it counts. */
const retryLimit = 3;

/**
 * Asks one portal for its targets. Rejects with LoginRefusedError, ProtocolError, or CodedError: NO_BUFFER, DISCOVERY_LOST (the
 * connection could not be had or was lost), DISCOVERY_TIMEOUT, DISCOVERY_REDIRECTS.
 */
export async function discoverTargets(options: DiscoveryOptions): Promise<DiscoveredTarget[]> {
  const buffer = options.pool.allocate(textBufferLength);
  if (buffer === noBuffer) throw new CodedError('NO_BUFFER', 'no memory for discovery text');
  try {
    return await new DiscoverySession(options, buffer).run();
  } finally {
    options.pool.release(buffer);
  }
}

/** How one connection has ended. */
type Attempt =
  | { readonly kind: 'targets'; readonly targets: DiscoveredTarget[] }
  | { readonly kind: 'redirect'; readonly target: PortalAddress }
  | { readonly kind: 'lost'; readonly retry: boolean; readonly error: Error }
  | { readonly kind: 'failed'; readonly error: Error };

class DiscoverySession {
  readonly #options: DiscoveryOptions;
  readonly #textBuffer: number;
  readonly #deadlineMs: number;

  constructor(options: DiscoveryOptions, textBuffer: number) {
    this.#options = options;
    this.#textBuffer = textBuffer;
    this.#deadlineMs = options.timers.now() + (options.timeoutMs ?? defaultTimeoutMs);
  }

  async run(): Promise<DiscoveredTarget[]> {
    const rotation = new PortalRotation(
      [this.#options.portal],
      this.#options.resolve,
      maxRedirects,
    );
    for (let losses = 0; ;) {
      const portal = await rotation.next();
      const attempt = await new DiscoveryAttempt(this.#options, this.#textBuffer).run(
        portal,
        this.#deadlineMs,
      );
      if (attempt.kind === 'targets') return attempt.targets;
      if (attempt.kind === 'redirect') {
        if (rotation.redirect(attempt.target)) continue;
        throw new CodedError('DISCOVERY_REDIRECTS', `more than ${maxRedirects} redirects in a row`);
      }
      if (attempt.kind === 'failed' || !attempt.retry || ++losses > retryLimit) throw attempt.error;
    }
  }
}

/** What a target demands or refuses for its targets says nothing about its discovery sessions: no digest is insisted on. */
function preferable(digest: DigestPreference): DigestPreference {
  return digest === 'none' ? 'none' : 'prefer-crc32c';
}

class DiscoveryAttempt implements ConnectionEvents {
  readonly #options: DiscoveryOptions;
  readonly #window = new CommandWindow();
  readonly #connection: Connection;
  readonly #collector = new SendTargetsCollector();
  readonly #textBuffer: number;
  #pdu = -1;
  #result: Attempt | undefined;
  #settle: (result: Attempt) => void = () => undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(options: DiscoveryOptions, textBuffer: number) {
    const { createTransport, arena, timers, isid } = options;
    this.#options = options;
    this.#textBuffer = textBuffer;
    this.#connection = new Connection(
      {
        createTransport,
        arena,
        timers,
        window: this.#window,
        isid,
        firstCmdSn: 1,
        login: {
          ...options.login,
          sessionType: 'Discovery',
          headerDigest: preferable(options.login.headerDigest),
          dataDigest: preferable(options.login.dataDigest),
        },
        textBuffer: { offset: textBuffer, length: textBufferLength },
        queueDepth: 1,
        // No pings: the answers of some targets carry garbage in a discovery session, others drop them.
        timeouts: { loginTimeoutMs, logoutTimeoutMs, nopIntervalMs: 0, nopTimeoutMs: 0 },
      },
      this,
    );
  }

  run(
    portal: { readonly address: string; readonly port: number },
    deadlineMs: number,
  ): Promise<Attempt> {
    const { timers } = this.#options;
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#cancelTimer = timers.schedule(Math.max(0, deadlineMs - timers.now()), () => {
        const error = new CodedError('DISCOVERY_TIMEOUT', 'the target list did not come in time');
        this.#result ??= { kind: 'failed', error };
        this.#connection.disconnect(ConnectionEnd.commandTimeout, error.message);
      });
      this.#connection.open(portal);
    });
  }

  onLoginStarted(): void {
    // Nothing to do: the connection's own timer watches the login.
  }

  onLoginEnded(outcome: LoginOutcome): void {
    switch (outcome.kind) {
      case 'complete':
        this.#ask();
        break;
      case 'redirect':
        this.#result = { kind: 'redirect', target: { host: outcome.address, port: outcome.port } };
        break;
      case 'fail': {
        const { failure, statusClass, statusDetail, message } = outcome;
        const error = new LoginRefusedError(failure, statusClass, statusDetail, message);
        this.#result = { kind: 'failed', error };
        break;
      }
    }
  }

  onTextResponse(_pdu: number, response: TextResponse): void {
    const more = response.targetTransferTag !== reservedTag;
    const complete = this.#collector.append(response.text, response.continued);
    if (!complete || (!response.final && more)) {
      if (!more) {
        throw new ProtocolError(
          'TEXT_CONTINUATION',
          'Text Response: more is to come, but no TTT to ask with',
        );
      }
      // RFC 7143 §11.10.2: an empty request with the target's tag asks for the rest.
      this.#send(response.lunHigh, response.lunLow, response.targetTransferTag, 0);
      return;
    }
    this.#result = { kind: 'targets', targets: this.#collector.targets() };
    this.#connection.release(this.#pdu);
    this.#connection.logout(ConnectionEnd.requested, 'discovery is done');
  }

  onReject(_pdu: number, _use: SlotUse, reject: { readonly reason: number }): void {
    throw new ProtocolError(
      'DISCOVERY_REJECTED',
      `the target rejected SendTargets, reason ${reject.reason}`,
    );
  }

  onScsiResponse(): void {
    assert(false, 'a discovery session sends no commands');
  }

  onTaskManagementResponse(): void {
    assert(false, 'a discovery session sends no task management functions');
  }

  onAsyncMessage(): void {
    // Whatever the target announces, this session is short.
  }

  onWritable(): void {
    // There is always a slot for the one request.
  }

  onConnectionClosed(end: ConnectionEnd, detail: string): void {
    this.#cancelTimer?.();
    const retry = this.#connection.wasLoggedIn && this.#connection.fullFeaturePdus === 0;
    const error =
      end === ConnectionEnd.protocolError
        ? new ProtocolError('DISCOVERY_PROTOCOL', detail)
        : new CodedError(
            'DISCOVERY_LOST',
            `no target list: ${end}${detail === '' ? '' : `, ${detail}`}`,
          );
    this.#settle(this.#result ?? { kind: 'lost', retry, error });
  }

  #ask(): void {
    const text = sendTargetsText();
    this.#pdu = this.#connection.claim(SlotUse.text);
    assert(this.#pdu !== -1, 'a new connection has a PDU slot');
    this.#options.arena.bytes.set(text, this.#textBuffer);
    this.#send(0, 0, reservedTag, text.length);
  }

  /** All requests of the exchange bear the same tag, hence use the same slot (RFC 7143 §11.10.4). */
  #send(lunHigh: number, lunLow: number, targetTransferTag: number, textLength: number): void {
    const { transport } = this.#connection;
    const { pdus } = transport;
    const pdu = this.#pdu;
    pdus.dataSegmentOffset[pdu] = this.#textBuffer;
    pdus.dataSegmentLength[pdu] = textLength;
    writeTextRequest(
      this.#options.arena.view,
      pdus.bhsOffset[pdu],
      lunHigh,
      lunLow,
      pdus.itt(pdu),
      targetTransferTag,
      this.#window.cmdSn,
      this.#window.expStatSn,
    );
    transport.queuePdu(pdu);
  }
}
