import { ConfigurationError } from '../errors.ts';
import { defaultChapAlgorithms, isChapAlgorithm, sameBytes } from './chap.ts';
import { keyRules, maxLength, minLength } from './key-table.ts';
import type { DigestPreference, LoginOptions, SessionParameters } from './login-contract.ts';
import { checkName } from './names.ts';
import type { Negotiation, NegotiationPosition } from './negotiation.ts';
import { defaultDataSegmentLength } from './text-keys.ts';
import type { TextPair } from './text-keys.ts';

/**
 * What is offered for TargetRecvDataSegmentLength. More would not pay: LIO's receive buffer ends there whatever it agrees to,
 * and tgt allocates some 400 buffers of the agreed length per connection.
 */
const targetReceiveLength = 8192;

const digestOffers: Readonly<Record<DigestPreference, string>> = {
  none: 'None',
  crc32c: 'CRC32C',
  'prefer-crc32c': 'CRC32C,None',
};

/** Refuses options that can never make a login; everything here is our own side's doing. */
export function checkLoginOptions(options: LoginOptions): void {
  checkName(options.initiatorName, 'initiator name');
  if (options.targetName !== undefined) checkName(options.targetName, 'target name');
  else if (options.sessionType === 'Normal') {
    throw new ConfigurationError('LOGIN_OPTIONS', 'a normal session needs a target name');
  }
  for (const name of ['receiveDataSegmentLength', 'firstBurstLength', 'maxBurstLength'] as const) {
    const length = options[name];
    if (!Number.isInteger(length) || length < minLength || length > maxLength) {
      throw new ConfigurationError(
        'LOGIN_OPTIONS',
        `${name} ${length} is not in ${minLength}..${maxLength}`,
      );
    }
  }
  checkChap(options);
}

function checkChap({
  chap,
  mutualChap,
  chapAlgorithms = defaultChapAlgorithms,
}: LoginOptions): void {
  for (const credentials of [chap, mutualChap]) {
    if (credentials === undefined) continue;
    if (credentials.user === '' || credentials.user.includes('\0')) {
      throw new ConfigurationError('LOGIN_OPTIONS', 'a CHAP user is empty or has a NUL');
    }
    if (credentials.secret.length === 0) {
      throw new ConfigurationError('LOGIN_OPTIONS', 'a CHAP secret is empty');
    }
  }
  if (mutualChap !== undefined) {
    if (chap === undefined) {
      throw new ConfigurationError('LOGIN_OPTIONS', 'mutual CHAP needs CHAP');
    }
    // RFC 7143 §12.1.3: with one secret for both directions our own answers would prove the target.
    if (sameBytes(chap.secret, mutualChap.secret)) {
      throw new ConfigurationError('LOGIN_OPTIONS', 'the two CHAP secrets must differ');
    }
  }
  if (chapAlgorithms.length === 0 || !chapAlgorithms.every(isChapAlgorithm)) {
    throw new ConfigurationError('LOGIN_OPTIONS', 'CHAP algorithms must be of 5, 6, 7, 8');
  }
}

/** What we want of every operational key. */
export function loginPosition(options: LoginOptions): NegotiationPosition {
  const { rdma } = options;
  const discovery = options.sessionType === 'Discovery';
  const digest = (preference: DigestPreference): string =>
    // Integrity is the RCaP's business (RFC 7145 §6.1).
    digestOffers[rdma ? 'none' : preference];
  const values = new Map<string, string>([
    ['HeaderDigest', digest(options.headerDigest)],
    ['DataDigest', digest(options.dataDigest)],
    ['DefaultTime2Wait', '2'],
    // One connection and ErrorRecoveryLevel 0: there is no session that the target could retain for us.
    ['DefaultTime2Retain', '0'],
    ['ErrorRecoveryLevel', '0'],
  ]);
  if (!discovery) {
    // Unsolicited Data-Out has no place on iSER: its buffers at the target are not ours to exhaust.
    values.set('InitialR2T', rdma || options.initialR2t ? 'Yes' : 'No');
    values.set('ImmediateData', options.immediateData ? 'Yes' : 'No');
    values.set('MaxBurstLength', String(options.maxBurstLength));
    // RFC 7143 §13.14: it must not exceed MaxBurstLength.
    values.set(
      'FirstBurstLength',
      String(Math.min(options.firstBurstLength, options.maxBurstLength)),
    );
    values.set('MaxOutstandingR2T', '1');
    values.set('MaxConnections', '1');
    values.set('DataPDUInOrder', 'Yes');
    values.set('DataSequenceInOrder', 'Yes');
    if (rdma) {
      values.set('RDMAExtensions', 'Yes');
      values.set('InitiatorRecvDataSegmentLength', String(options.receiveDataSegmentLength));
      values.set('TargetRecvDataSegmentLength', String(targetReceiveLength));
    }
  }
  return {
    values,
    required: new Set(rdma && !discovery ? ['RDMAExtensions'] : []),
    discovery,
    rdma: rdma && !discovery,
  };
}

/** Keys to offer: all that we have an opinion on, or only those whose default we cannot live with. */
export function offeredKeys(options: LoginOptions, position: NegotiationPosition): string[] {
  const keys = [...position.values.keys()];
  if (options.offer !== 'required-only') return keys;
  return keys.filter(
    (key) => position.required.has(key) || position.values.get(key) !== keyRules.get(key)?.default,
  );
}

/** The keys that open a login: who we are and what we want (RFC 7143 §6.3.1). */
export function identityPairs(options: LoginOptions): TextPair[] {
  const pairs: TextPair[] = [['InitiatorName', options.initiatorName]];
  if (options.targetName !== undefined) pairs.push(['TargetName', options.targetName]);
  pairs.push(['SessionType', options.sessionType]);
  return pairs;
}

/** Our declarations in the operational stage. */
export function declarationPairs(options: LoginOptions): TextPair[] {
  // RDMAExtensions=Yes takes the place of it (RFC 7145 §6.2), but a discovery session has no RDMAExtensions, and LIO
  // answers SendTargets there with empty PDUs for ever unless it knows the length.
  const declares = !options.rdma || options.sessionType === 'Discovery';
  return declares ? [['MaxRecvDataSegmentLength', String(options.receiveDataSegmentLength)]] : [];
}

/** The parameters in force after a negotiation. */
export function sessionParameters(
  options: LoginOptions,
  negotiation: Negotiation,
): SessionParameters {
  const number = (key: string): number => Number(negotiation.value(key));
  const extensions = negotiation.value('RDMAExtensions') === 'Yes';
  const maxBurstLength = number('MaxBurstLength');
  return {
    headerDigest: negotiation.value('HeaderDigest') === 'CRC32C',
    dataDigest: negotiation.value('DataDigest') === 'CRC32C',
    initialR2t: negotiation.value('InitialR2T') === 'Yes',
    immediateData: negotiation.value('ImmediateData') === 'Yes',
    // A target may leave FirstBurstLength above a MaxBurstLength that it has lowered.
    firstBurstLength: Math.min(number('FirstBurstLength'), maxBurstLength),
    maxBurstLength,
    maxSendDataSegmentLength: extensions
      ? number('TargetRecvDataSegmentLength')
      : Number(negotiation.declared('MaxRecvDataSegmentLength') ?? defaultDataSegmentLength),
    maxReceiveDataSegmentLength: extensions
      ? number('InitiatorRecvDataSegmentLength')
      : options.receiveDataSegmentLength,
    maxOutstandingR2t: number('MaxOutstandingR2T'),
    defaultTime2Wait: number('DefaultTime2Wait'),
    defaultTime2Retain: number('DefaultTime2Retain'),
  };
}
