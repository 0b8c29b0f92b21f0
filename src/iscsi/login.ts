import { ProtocolError, assert } from '../errors.ts';
import { ChapExchange } from './chap-exchange.ts';
import { ChapAlgorithm, defaultChapAlgorithms } from './chap.ts';
import { repeatableKeys, securityKeys } from './key-table.ts';
import type {
  LoginOptions,
  LoginRequest,
  LoginResponse,
  LoginResult,
  LoginStep,
  SessionParameters,
} from './login-contract.ts';
import { LoginError } from './login-error.ts';
import {
  checkLoginOptions,
  declarationPairs,
  identityPairs,
  loginPosition,
  offeredKeys,
  sessionParameters,
} from './login-keys.ts';
import { LoginFailure, loginStatusOf } from './login-status.ts';
import { Negotiation } from './negotiation.ts';
import { parseTargetAddress } from './target-address.ts';
import {
  TextAccumulator,
  defaultDataSegmentLength,
  formatText,
  parseTextMap,
} from './text-keys.ts';
import type { TextPair } from './text-keys.ts';

export type {
  ChapCredentials,
  DigestPreference,
  LoginOptions,
  LoginRequest,
  LoginResponse,
  LoginResult,
  LoginStep,
  SessionParameters,
} from './login-contract.ts';
export { LoginFailure } from './login-status.ts';

/** Stages (RFC 7143 §11.12.3); 2 does not exist. */
export const LoginStage = {
  securityNegotiation: 0,
  loginOperationalNegotiation: 1,
  fullFeaturePhase: 3,
} as const;

type LoginState = 'idle' | 'security' | 'operational' | 'ended';

const allowedTransitions: Readonly<Record<LoginState, readonly LoginState[]>> = {
  idle: ['security', 'operational'],
  security: ['operational', 'ended'],
  operational: ['ended'],
  ended: [],
};

const subject = 'Login Response';
/** Bytes of text that a target may send before it lets us speak. */
const maxTextLength = 64 * 1024;
/** Login Responses in one login. CHAP both ways and a target that proposes every key by itself stay below 30. */
const maxRounds = 64;

/**
 * The initiator's side of one login (RFC 7143 §6.3), without I/O: each answer of the target goes in, what to do next comes out.
 *
 *   idle ──start──► security ──T──► operational ──T──► ended
 *     └─────────(no credentials)───────►┘
 *
 * Requests and responses alternate strictly; one engine serves one connection.
 */
export class LoginEngine {
  readonly #options: LoginOptions;
  readonly #negotiation: Negotiation;
  readonly #offer: readonly string[];
  readonly #chap: ChapExchange | undefined;
  readonly #accumulator = new TextAccumulator(subject, maxTextLength);
  #state: LoginState = 'idle';
  #rounds = 0;
  /** Text of ours that has not been sent yet, and whether T is to be set with its end. */
  #pending: Uint8Array = new Uint8Array(0);
  #pendingTransit = false;
  /** T of the request that the next response answers. */
  #askedForTransit = false;

  /** @throws ConfigurationError when the options can never make a login */
  constructor(options: LoginOptions) {
    checkLoginOptions(options);
    const position = loginPosition(options);
    this.#options = options;
    this.#negotiation = new Negotiation(position);
    this.#offer = offeredKeys(options, position);
    this.#chap =
      options.chap === undefined
        ? undefined
        : new ChapExchange(
            options.chap,
            options.mutualChap,
            options.chapAlgorithms ?? defaultChapAlgorithms,
            options.randomBytes,
          );
  }

  /** The first request. Call once. */
  start(): LoginRequest {
    const identity = identityPairs(this.#options);
    if (this.#chap === undefined) return this.#enterOperational(identity);
    this.#transition('security');
    return this.#request([...identity, ...this.#chap.offer()], false);
  }

  /** Our CHAP response is out and the target has not judged it. */
  get awaitsAuthentication(): boolean {
    return this.#state === 'security' && this.#chap?.asksForTransit === true;
  }

  /** Takes the answer to the last request. */
  receive(response: LoginResponse): LoginStep {
    assert(this.#state === 'security' || this.#state === 'operational', 'no login answer is due');
    try {
      return this.#receive(response);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#transition('ended');
      return {
        kind: 'fail',
        failure: error instanceof LoginError ? error.failure : LoginFailure.protocolError,
        statusClass: response.statusClass,
        statusDetail: response.statusDetail,
        message: error.message,
        retryable: false,
      };
    }
  }

  /** What can be said before the answer to the offers is in: enough to post receives of the right number and length. */
  provisionalParameters(): SessionParameters {
    const expected = new Negotiation(loginPosition(this.#options));
    expected.offer(this.#offer);
    expected.receive(this.#answersAsOffered());
    return sessionParameters(this.#options, expected);
  }

  #receive(response: LoginResponse): LoginStep {
    if (response.statusClass !== 0) return this.#receiveRefusal(response);
    this.#checkHeader(response);
    if (this.#pending.length > 0) {
      if (response.text.length > 0 || response.continued) {
        throw new ProtocolError('LOGIN_ORDER', `${subject}: text in the middle of our own`);
      }
      return this.#send(this.#nextRequest());
    }
    if (!this.#accumulator.append(response.text, response.continued)) {
      return this.#send(this.#request([], false));
    }
    const keys = parseTextMap(this.#accumulator.take(), subject, repeatableKeys);
    return this.#state === 'security'
      ? this.#receiveSecurity(keys, response)
      : this.#receiveOperational(keys, response);
  }

  #checkHeader(response: LoginResponse): void {
    if (++this.#rounds > maxRounds) {
      throw new LoginError(
        LoginFailure.negotiationFailed,
        `the target did not end the login in ${maxRounds} rounds`,
      );
    }
    const stage = this.#stage();
    if (response.csg !== stage) {
      throw new ProtocolError('LOGIN_STAGE', `${subject}: CSG ${response.csg} in stage ${stage}`);
    }
    if (!response.transit) return;
    if (response.continued) {
      throw new ProtocolError('LOGIN_FLAGS', `${subject}: both T and C are set`);
    }
    if (!this.#askedForTransit) {
      throw new ProtocolError('LOGIN_TRANSIT', `${subject}: T is set, the request had it not`);
    }
    if (response.nsg !== this.#nextStage()) {
      throw new ProtocolError(
        'LOGIN_STAGE',
        `${subject}: NSG ${response.nsg}, we asked for ${this.#nextStage()}`,
      );
    }
  }

  #receiveSecurity(keys: Map<string, string>, response: LoginResponse): LoginStep {
    const chap = this.#chap;
    assert(chap !== undefined, 'only CHAP has a security stage');
    const security = new Map<string, string>();
    for (const [key, value] of keys) {
      if (!securityKeys.has(key)) continue;
      security.set(key, value);
      keys.delete(key);
    }
    const pairs: TextPair[] = chap.receive(security);
    pairs.push(...this.#negotiation.receiveInSecurityStage(keys));
    if (!response.transit) return this.#send(this.#request(pairs, chap.asksForTransit));
    assert(chap.verified, 'T was only asked for with our last CHAP keys');
    this.#refuseLateProposals(pairs);
    return this.#send(this.#enterOperational([]));
  }

  #receiveOperational(keys: Map<string, string>, response: LoginResponse): LoginStep {
    const answers = this.#negotiation.receive(keys);
    if (!response.transit) return this.#send(this.#request(answers, true));
    this.#refuseLateProposals(answers);
    this.#negotiation.conclude();
    this.#transition('ended');
    return { kind: 'complete', result: this.#result(response) };
  }

  /** RFC 7143 §6.3.3: a target that ends a stage has no question left. */
  #refuseLateProposals(answers: readonly TextPair[]): void {
    if (answers.length === 0) return;
    throw new ProtocolError(
      'LOGIN_LATE_PROPOSAL',
      `${subject}: ${answers[0][0]} is proposed and the stage ended at once`,
    );
  }

  #receiveRefusal(response: LoginResponse): LoginStep {
    const { statusClass, statusDetail } = response;
    if (statusClass === 1) return this.#receiveRedirect(response);
    this.#transition('ended');
    const status = loginStatusOf(statusClass, statusDetail);
    const chosen = this.#chap?.algorithm;
    const otherAlgorithm =
      status.failure === LoginFailure.authenticationFailed &&
      chosen !== undefined &&
      chosen !== ChapAlgorithm.md5 &&
      (this.#options.chapAlgorithms ?? defaultChapAlgorithms).includes(ChapAlgorithm.md5);
    const unasked =
      status.failure === LoginFailure.authenticationFailed && this.#chap === undefined;
    return {
      kind: 'fail',
      ...status,
      message: unasked ? `${status.message}; no CHAP credentials are configured` : status.message,
      statusClass,
      statusDetail,
      ...(otherAlgorithm ? { retryWithChapAlgorithms: [ChapAlgorithm.md5] } : {}),
    };
  }

  #receiveRedirect(response: LoginResponse): LoginStep {
    const value = parseTextMap(response.text, subject, repeatableKeys).get('TargetAddress');
    if (value === undefined) {
      throw new ProtocolError('LOGIN_REDIRECT', `${subject}: redirection without TargetAddress`);
    }
    const { address, port, tag } = parseTargetAddress(value);
    this.#transition('ended');
    return {
      kind: 'redirect',
      address,
      port,
      ...(tag === undefined ? {} : { portalGroupTag: tag }),
      // RFC 7143 §11.13.5: 0101 moved temporarily, 0102 permanently.
      permanent: response.statusDetail === 2,
    };
  }

  #enterOperational(first: readonly TextPair[]): LoginRequest {
    this.#transition('operational');
    const pairs = [...first, ...declarationPairs(this.#options)];
    pairs.push(...this.#negotiation.offer(this.#offer));
    return this.#request(pairs, true);
  }

  #request(pairs: readonly TextPair[], transit: boolean): LoginRequest {
    this.#pending = formatText(pairs);
    this.#pendingTransit = transit;
    return this.#nextRequest();
  }

  /** As much of our text as one PDU may carry before lengths are agreed on; the C bit says that more follows. */
  #nextRequest(): LoginRequest {
    const text = this.#pending.slice(0, defaultDataSegmentLength);
    this.#pending = this.#pending.subarray(text.length);
    const continued = this.#pending.length > 0;
    const transit = this.#pendingTransit && !continued;
    this.#askedForTransit = transit;
    return {
      csg: this.#stage(),
      nsg: transit ? this.#nextStage() : 0,
      transit,
      continued,
      text,
      entersFullFeature: transit && this.#nextStage() === LoginStage.fullFeaturePhase,
    };
  }

  #send(request: LoginRequest): LoginStep {
    return { kind: 'send', request };
  }

  #stage(): number {
    return this.#state === 'security'
      ? LoginStage.securityNegotiation
      : LoginStage.loginOperationalNegotiation;
  }

  #nextStage(): number {
    return this.#state === 'security'
      ? LoginStage.loginOperationalNegotiation
      : LoginStage.fullFeaturePhase;
  }

  #transition(to: LoginState): void {
    const allowed = allowedTransitions[this.#state].includes(to);
    assert(allowed, `login: no way from ${this.#state} to ${to}`);
    this.#state = to;
  }

  #result(response: LoginResponse): LoginResult {
    const tag = this.#negotiation.declared('TargetPortalGroupTag');
    const alias = this.#negotiation.declared('TargetAlias');
    return {
      tsih: response.tsih,
      parameters: sessionParameters(this.#options, this.#negotiation),
      ...(tag === undefined ? {} : { targetPortalGroupTag: Number(tag) }),
      ...(alias === undefined ? {} : { targetAlias: alias }),
      keys: new Map([
        ['AuthMethod', this.#chap === undefined ? 'None' : 'CHAP'],
        ...this.#negotiation.outcome(),
      ]),
    };
  }

  /** Every offer taken as it stands; of a list the first. */
  #answersAsOffered(): Map<string, string> {
    const { values } = loginPosition(this.#options);
    const answers = new Map<string, string>();
    for (const key of this.#offer) answers.set(key, (values.get(key) ?? '').split(',')[0]);
    return answers;
  }
}
