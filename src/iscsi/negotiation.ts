import { ProtocolError, assert } from '../errors.ts';
import {
  combine,
  initiatorKeys,
  keyRules,
  rejectedKeys,
  securityKeys,
  targetDeclarations,
} from './key-table.ts';
import type { Declaration, KeyRule } from './key-table.ts';
import { LoginError } from './login-error.ts';
import { LoginFailure } from './login-status.ts';
import { quoted } from './text-keys.ts';
import type { TextPair } from './text-keys.ts';
import { parseBoolean, parseNumber } from './values.ts';

/** Answers that are no values (RFC 7143 §6.2). */
const reservedAnswers: ReadonlySet<string> = new Set(['Irrelevant', 'NotUnderstood', 'Reject']);

export interface NegotiationPosition {
  /** What we offer, or would agree to when the target offers first; as text. */
  readonly values: ReadonlyMap<string, string>;
  /** Keys that must end with exactly our value. */
  readonly required: ReadonlySet<string>;
  readonly discovery: boolean;
  readonly rdma: boolean;
}

/**
 * One negotiation of operational keys: offers, answers, proposals of the target and its declarations (RFC 7143 §6.2). A key is
 * open, offered or settled; only the first two can still change.
 */
export class Negotiation {
  readonly #position: NegotiationPosition;
  readonly #offered = new Map<string, string>();
  readonly #settled = new Map<string, string>();
  readonly #declared = new Map<string, string>();

  constructor(position: NegotiationPosition) {
    this.#position = position;
  }

  /** Offers our value for each of `keys`. */
  offer(keys: Iterable<string>): TextPair[] {
    const pairs: TextPair[] = [];
    for (const key of keys) {
      const value = this.#position.values.get(key);
      assert(value !== undefined && keyRules.has(key), `${key} cannot be offered`);
      assert(!this.#offered.has(key) && !this.#settled.has(key), `${key} offered twice`);
      this.#offered.set(key, value);
      pairs.push([key, value]);
    }
    return pairs;
  }

  /** Takes what the target says in one text and returns what must be answered to it. */
  receive(keys: ReadonlyMap<string, string>): TextPair[] {
    const answers: TextPair[] = [];
    for (const [key, value] of keys) {
      const answer = this.#receiveKey(key, value);
      if (answer !== undefined) answers.push([key, answer]);
    }
    return answers;
  }

  /** Takes keys of the security stage, where only declarations have a place (RFC 7143 §13, Any-Stage). */
  receiveInSecurityStage(keys: ReadonlyMap<string, string>): TextPair[] {
    for (const key of keys.keys()) {
      if (keyRules.has(key) || rejectedKeys.has(key)) {
        throw new ProtocolError('KEY_STAGE', `${key} does not belong to the security stage`);
      }
    }
    return this.receive(keys);
  }

  /**
   * Settles what the target was silent about: of an unanswered offer and the default that which the key's result function
   * yields, so LIO's silence on InitialR2T=Yes is a Yes, and silence on RDMAExtensions is a No.
   */
  conclude(): void {
    for (const [key, offer] of this.#offered) this.#settleWithDefault(key, offer, 'no answer');
    for (const key of this.#position.required) {
      if (this.value(key) !== this.#position.values.get(key)) this.#refuse(key, this.value(key));
    }
  }

  /** The value in force: agreed on, or the key's default. */
  value(key: string): string {
    const rule = keyRules.get(key);
    assert(rule !== undefined, `${key} is not negotiated`);
    return this.#settled.get(key) ?? rule.default;
  }

  declared(key: string): string | undefined {
    return this.#declared.get(key);
  }

  /** Every key that was settled or declared, in the order in which it happened. */
  outcome(): Map<string, string> {
    return new Map([...this.#declared, ...this.#settled]);
  }

  /** @returns the answer that the key asks for */
  #receiveKey(key: string, value: string): string | undefined {
    const declaration = targetDeclarations.get(key);
    if (declaration !== undefined) {
      this.#receiveDeclaration(key, value, declaration);
      return undefined;
    }
    if (initiatorKeys.has(key) || securityKeys.has(key)) {
      throw new ProtocolError('KEY_NOT_ALLOWED', `${key}: a target may not send it here`);
    }
    if (this.#settled.has(key)) {
      // RFC 7143 §6.3: renegotiation in a login is refused.
      throw new ProtocolError('KEY_RENEGOTIATED', `${key}: it was negotiated already`);
    }
    const rule = keyRules.get(key);
    const offer = this.#offered.get(key);
    if (rule !== undefined && offer !== undefined) {
      this.#receiveAnswer(key, rule, offer, value);
      return undefined;
    }
    if (reservedAnswers.has(value)) {
      throw new ProtocolError('ANSWER_WITHOUT_OFFER', `${key}=${value}: it was never offered`);
    }
    return this.#receiveProposal(key, rule, value);
  }

  #receiveDeclaration(key: string, value: string, declaration: Declaration): void {
    const known = this.#declared.get(key);
    let declared = value;
    if (declaration.kind === 'number') {
      declared = String(parseNumber(key, value, declaration.minimum, declaration.maximum));
    } else if (Buffer.byteLength(value) > declaration.maxLength) {
      throw new ProtocolError(
        'VALUE_LENGTH',
        `${key}: the value is longer than ${declaration.maxLength} bytes`,
      );
    } else if (known !== undefined && declaration.repeatable === true) return;
    // The same words again do no harm; other ones leave open what holds (RFC 7143 §6.3 forbids both).
    if (known !== undefined && known !== declared) {
      throw new ProtocolError('KEY_REDECLARED', `${key}: it was declared with another value`);
    }
    this.#declared.set(key, declared);
  }

  #receiveAnswer(key: string, rule: KeyRule, offer: string, value: string): void {
    if (reservedAnswers.has(value)) {
      this.#settleWithDefault(key, offer, value);
      return;
    }
    const answer = legalValue(key, rule, value);
    if (rule.kind === 'list') {
      if (!offer.split(',').includes(answer)) this.#refuse(key, answer);
    } else if (combine(rule, offer, answer) !== answer) {
      throw new ProtocolError(
        'ANSWER_OUT_OF_OFFER',
        `${key}: the target answered ${answer} to the offer ${offer}`,
      );
    }
    this.#settle(key, answer);
  }

  /** The target offers first: it wants to know what we make of it. */
  #receiveProposal(key: string, rule: KeyRule | undefined, value: string): string {
    if (rule === undefined) {
      const answer = rejectedKeys.has(key) ? 'Reject' : 'NotUnderstood';
      this.#settle(key, answer);
      return answer;
    }
    const proposal = legalValue(key, rule, value);
    const { discovery, rdma, values } = this.#position;
    if ((discovery && rule.normalOnly === true) || (!rdma && rule.rdmaOnly === true)) {
      this.#settle(key, rule.default);
      return 'Irrelevant';
    }
    const agreed = combine(rule, values.get(key) ?? rule.default, proposal);
    if (agreed === undefined) {
      this.#settle(key, rule.default);
      return 'Reject';
    }
    this.#settle(key, agreed);
    return agreed;
  }

  #settleWithDefault(key: string, offer: string, answer: string): void {
    const rule = keyRules.get(key);
    assert(rule !== undefined, `${key} was offered`);
    const value = combine(rule, offer, rule.default);
    if (value === undefined) this.#refuse(key, answer);
    this.#settle(key, value);
  }

  #settle(key: string, value: string): void {
    this.#offered.delete(key);
    this.#settled.set(key, value);
  }

  #refuse(key: string, answer: string): never {
    const wanted = this.#position.values.get(key) ?? '';
    throw new LoginError(
      LoginFailure.negotiationFailed,
      `${key}: we need ${wanted}, the target's word is ${quoted(answer)}`,
    );
  }
}

/** The value in its plain spelling, or a ProtocolError. */
function legalValue(key: string, rule: KeyRule, value: string): string {
  switch (rule.kind) {
    case 'list':
      if (value === '') throw new ProtocolError('VALUE_EMPTY', `${key}: the list is empty`);
      return value;
    case 'boolean-and':
    case 'boolean-or':
      return parseBoolean(key, value);
    case 'numeric-min':
    case 'numeric-max':
      return String(parseNumber(key, value, rule.minimum, rule.maximum));
  }
}
