import { ProtocolError, assert } from '../errors.ts';
import { chapDigestLength, chapResponse, maxChapLength, sameBytes } from './chap.ts';
import type { ChapCredentials } from './login-contract.ts';
import { LoginError } from './login-error.ts';
import { LoginFailure } from './login-status.ts';
import { quoted } from './text-keys.ts';
import type { TextPair } from './text-keys.ts';
import { formatBinary, parseBinary, parseNumber } from './values.ts';

/**
 * The security stage with CHAP, from the initiator's side (RFC 7143 §12.1.3).
 *
 *   AuthMethod=CHAP        ──►  method      ◄── AuthMethod=CHAP
 *   CHAP_A=8,6,5           ──►  algorithm   ◄── CHAP_A=5 CHAP_I=… CHAP_C=…
 *   CHAP_N CHAP_R [I, C]   ──►  response    ◄── [CHAP_N CHAP_R]
 *                               verified
 */
type ChapState = 'method' | 'algorithm' | 'response' | 'verified';

/** What the target must send in each state, and nothing else of the security keys. */
const expectedKeys: Readonly<Record<ChapState, readonly string[]>> = {
  method: ['AuthMethod'],
  algorithm: ['CHAP_A', 'CHAP_I', 'CHAP_C'],
  response: ['CHAP_N', 'CHAP_R'],
  verified: [],
};

const nextState: Readonly<Record<ChapState, ChapState | undefined>> = {
  method: 'algorithm',
  algorithm: 'response',
  response: 'verified',
  verified: undefined,
};

interface OwnChallenge {
  readonly identifier: number;
  readonly challenge: Uint8Array;
}

export class ChapExchange {
  readonly #credentials: ChapCredentials;
  readonly #mutual: ChapCredentials | undefined;
  readonly #algorithms: readonly number[];
  readonly #randomBytes: (length: number) => Uint8Array;
  #state: ChapState = 'method';
  #algorithm: number | undefined;
  #own: OwnChallenge | undefined;

  constructor(
    credentials: ChapCredentials,
    mutual: ChapCredentials | undefined,
    algorithms: readonly number[],
    randomBytes: (length: number) => Uint8Array,
  ) {
    this.#credentials = credentials;
    this.#mutual = mutual;
    this.#algorithms = algorithms;
    this.#randomBytes = randomBytes;
  }

  /** The algorithm that the target chose, once it has. */
  get algorithm(): number | undefined {
    return this.#algorithm;
  }

  /** Both sides have proved what they had to; the stage may be left. */
  get verified(): boolean {
    return this.#state === 'verified';
  }

  /** Our last word is out: from now on the stage may be left as soon as the target agrees. */
  get asksForTransit(): boolean {
    return this.#state === 'response' || this.#state === 'verified';
  }

  /** The opening offer. Only CHAP: with credentials configured, None would be a downgrade. */
  offer(): TextPair[] {
    return [['AuthMethod', 'CHAP']];
  }

  /** Takes the security keys of one answer and returns ours. */
  receive(keys: ReadonlyMap<string, string>): TextPair[] {
    this.#checkExpected(keys);
    switch (this.#state) {
      case 'method':
        return this.#receiveMethod(valueOf(keys, 'AuthMethod'));
      case 'algorithm':
        return this.#receiveChallenge(keys);
      case 'response':
        this.#receiveResponse(keys);
        return [];
      case 'verified':
        return [];
    }
  }

  #checkExpected(keys: ReadonlyMap<string, string>): void {
    const expected =
      this.#state === 'response' && this.#mutual === undefined ? [] : expectedKeys[this.#state];
    for (const key of keys.keys()) {
      if (!expected.includes(key)) {
        throw new ProtocolError('CHAP_ORDER', `${key}: unexpected in CHAP state ${this.#state}`);
      }
    }
    for (const key of expected) {
      if (keys.has(key)) continue;
      if (this.#state === 'response') {
        throw new LoginError(
          LoginFailure.targetAuthenticationFailed,
          `the target was asked to authenticate itself and sent no ${key}`,
        );
      }
      throw new ProtocolError('CHAP_KEY_MISSING', `the target sent no ${key}`);
    }
  }

  #advance(): void {
    const next = nextState[this.#state];
    assert(next !== undefined, `no CHAP state after ${this.#state}`);
    this.#state = next;
  }

  #receiveMethod(method: string): TextPair[] {
    if (method !== 'CHAP') {
      throw new LoginError(
        LoginFailure.negotiationFailed,
        `AuthMethod: CHAP is configured, the target answered ${quoted(method)}`,
      );
    }
    this.#advance();
    return [['CHAP_A', this.#algorithms.join(',')]];
  }

  #receiveChallenge(keys: ReadonlyMap<string, string>): TextPair[] {
    const algorithm = this.#chosenAlgorithm(valueOf(keys, 'CHAP_A'));
    const identifier = parseNumber('CHAP_I', valueOf(keys, 'CHAP_I'), 0, 255);
    const challenge = parseBinary('CHAP_C', valueOf(keys, 'CHAP_C'), maxChapLength);
    this.#algorithm = algorithm;
    const response = chapResponse(algorithm, identifier, this.#credentials.secret, challenge);
    const answer: TextPair[] = [
      ['CHAP_N', this.#credentials.user],
      ['CHAP_R', formatBinary(response)],
    ];
    if (this.#mutual !== undefined) answer.push(...this.#challengeTarget(algorithm, challenge));
    this.#advance();
    return answer;
  }

  #chosenAlgorithm(value: string): number {
    if (value === 'Reject' || value === 'NotUnderstood') {
      throw new LoginError(
        LoginFailure.negotiationFailed,
        `CHAP_A: the target takes none of ${this.#algorithms.join(',')}`,
      );
    }
    const algorithm = parseNumber('CHAP_A', value, 0, 255);
    if (!this.#algorithms.includes(algorithm)) {
      throw new ProtocolError(
        'CHAP_ALGORITHM',
        `CHAP_A: the target chose ${algorithm}, we offered ${this.#algorithms.join(',')}`,
      );
    }
    return algorithm;
  }

  #challengeTarget(algorithm: number, targetChallenge: Uint8Array): TextPair[] {
    const challenge = this.#randomBytes(chapDigestLength(algorithm));
    const identifier = this.#randomBytes(1)[0];
    if (sameBytes(challenge, targetChallenge)) {
      // RFC 7143 §12.1.3: a challenge that comes back is an attempt to have us answer our own question.
      throw new ProtocolError('CHAP_REFLECTED', 'CHAP_C: the target sent our own challenge');
    }
    this.#own = { identifier, challenge };
    return [
      ['CHAP_I', String(identifier)],
      ['CHAP_C', formatBinary(challenge)],
    ];
  }

  #receiveResponse(keys: ReadonlyMap<string, string>): void {
    if (this.#mutual !== undefined) this.#verifyTarget(this.#mutual, keys);
    this.#advance();
  }

  #verifyTarget(mutual: ChapCredentials, keys: ReadonlyMap<string, string>): void {
    assert(this.#own !== undefined && this.#algorithm !== undefined, 'the target was challenged');
    const name = valueOf(keys, 'CHAP_N');
    const response = parseBinary('CHAP_R', valueOf(keys, 'CHAP_R'), maxChapLength);
    const { identifier, challenge } = this.#own;
    const expected = chapResponse(this.#algorithm, identifier, mutual.secret, challenge);
    if (!sameBytes(response, expected)) {
      throw new LoginError(
        LoginFailure.targetAuthenticationFailed,
        'CHAP_R: the target does not know the mutual secret',
      );
    }
    if (name !== mutual.user) {
      throw new LoginError(
        LoginFailure.targetAuthenticationFailed,
        `CHAP_N: the target calls itself ${quoted(name)}, expected ${quoted(mutual.user)}`,
      );
    }
  }
}

function valueOf(keys: ReadonlyMap<string, string>, key: string): string {
  const value = keys.get(key);
  assert(value !== undefined, `${key} was checked to be there`);
  return value;
}
