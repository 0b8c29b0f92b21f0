/**
 * The keys that can come up in a login and how each is negotiated (RFC 7143 §13, RFC 7145 §6). What we want of them is not
 * here but in login-keys.ts.
 */
export type KeyRule = {
  /** When nothing is agreed on; as text. */
  readonly default: string;
  /** Irrelevant in a discovery session. */
  readonly normalOnly?: true;
  /** Irrelevant without RDMAExtensions=Yes (RFC 7145 §6). */
  readonly rdmaOnly?: true;
} & (
  | { readonly kind: 'list' }
  | { readonly kind: 'boolean-and' | 'boolean-or' }
  | {
      readonly kind: 'numeric-min' | 'numeric-max';
      readonly minimum: number;
      readonly maximum: number;
    }
);

/** What a target may tell without being answered. */
export type Declaration =
  | { readonly kind: 'text'; readonly maxLength: number; readonly repeatable?: true }
  | { readonly kind: 'number'; readonly minimum: number; readonly maximum: number };

/** Lengths of bursts and data segments (RFC 7143 §13.12 to §13.14). */
export const minLength = 512;
export const maxLength = 0xffffff;

const lengthRange = { kind: 'numeric-min', minimum: minLength, maximum: maxLength } as const;
const normalOnly = true;
const rdmaOnly = true;

export const keyRules: ReadonlyMap<string, KeyRule> = new Map<string, KeyRule>([
  ['HeaderDigest', { kind: 'list', default: 'None' }],
  ['DataDigest', { kind: 'list', default: 'None' }],
  ['MaxConnections', { kind: 'numeric-min', minimum: 1, maximum: 65535, default: '1', normalOnly }],
  ['InitialR2T', { kind: 'boolean-or', default: 'Yes', normalOnly }],
  ['ImmediateData', { kind: 'boolean-and', default: 'Yes', normalOnly }],
  ['MaxBurstLength', { ...lengthRange, default: '262144', normalOnly }],
  ['FirstBurstLength', { ...lengthRange, default: '65536', normalOnly }],
  ['DefaultTime2Wait', { kind: 'numeric-max', minimum: 0, maximum: 3600, default: '2' }],
  ['DefaultTime2Retain', { kind: 'numeric-min', minimum: 0, maximum: 3600, default: '20' }],
  [
    'MaxOutstandingR2T',
    { kind: 'numeric-min', minimum: 1, maximum: 65535, default: '1', normalOnly },
  ],
  ['DataPDUInOrder', { kind: 'boolean-or', default: 'Yes', normalOnly }],
  ['DataSequenceInOrder', { kind: 'boolean-or', default: 'Yes', normalOnly }],
  ['ErrorRecoveryLevel', { kind: 'numeric-min', minimum: 0, maximum: 2, default: '0' }],
  ['TaskReporting', { kind: 'list', default: 'RFC3720', normalOnly }],
  ['iSCSIProtocolLevel', { kind: 'numeric-min', minimum: 0, maximum: 31, default: '1' }],
  // Obsolete (RFC 7143 §13.25): never offered, refused when a target asks.
  ['IFMarker', { kind: 'boolean-and', default: 'No' }],
  ['OFMarker', { kind: 'boolean-and', default: 'No' }],
  ['RDMAExtensions', { kind: 'boolean-and', default: 'No', normalOnly }],
  ['InitiatorRecvDataSegmentLength', { ...lengthRange, default: '8192', normalOnly, rdmaOnly }],
  ['TargetRecvDataSegmentLength', { ...lengthRange, default: '8192', normalOnly, rdmaOnly }],
  [
    'TaggedBufferForSolicitedDataOnly',
    { kind: 'boolean-and', default: 'No', normalOnly, rdmaOnly },
  ],
  ['iSERHelloRequired', { kind: 'boolean-and', default: 'No', normalOnly, rdmaOnly }],
]);

/** Ranges of markers: the only right answer is Reject (RFC 7143 §13.25). */
export const rejectedKeys: ReadonlySet<string> = new Set(['IFMarkInt', 'OFMarkInt']);

export const targetDeclarations: ReadonlyMap<string, Declaration> = new Map<string, Declaration>([
  ['TargetAlias', { kind: 'text', maxLength: 255 }],
  ['TargetAddress', { kind: 'text', maxLength: 255, repeatable: true }],
  ['TargetPortalGroupTag', { kind: 'number', minimum: 0, maximum: 65535 }],
  ['MaxRecvDataSegmentLength', { kind: 'number', minimum: minLength, maximum: maxLength }],
  ['MaxAHSLength', { kind: 'number', minimum: 0, maximum: maxLength }],
  ['MaxOutstandingUnexpectedPDUs', { kind: 'number', minimum: 0, maximum: 0xffffffff }],
]);

export const repeatableKeys: ReadonlySet<string> = new Set(
  [...targetDeclarations]
    .filter(([, declaration]) => declaration.kind === 'text' && declaration.repeatable === true)
    .map(([key]) => key),
);

/** Keys that a target has no business to send in a login. */
export const initiatorKeys: ReadonlySet<string> = new Set([
  'InitiatorName',
  'InitiatorAlias',
  'TargetName',
  'SessionType',
  'SendTargets',
]);

/** Keys of the security stage: chap-exchange.ts reads them, nobody else. */
export const securityKeys: ReadonlySet<string> = new Set([
  'AuthMethod',
  'CHAP_A',
  'CHAP_I',
  'CHAP_C',
  'CHAP_N',
  'CHAP_R',
]);

/** The values in force when one side wants `ours` and the other `theirs`; both legal for the key. */
export function combine(rule: KeyRule, ours: string, theirs: string): string | undefined {
  switch (rule.kind) {
    case 'list': {
      const wanted = ours.split(',');
      return theirs.split(',').find((value) => wanted.includes(value));
    }
    case 'boolean-and':
      return ours === 'Yes' && theirs === 'Yes' ? 'Yes' : 'No';
    case 'boolean-or':
      return ours === 'Yes' || theirs === 'Yes' ? 'Yes' : 'No';
    case 'numeric-min':
      return String(Math.min(Number(ours), Number(theirs)));
    case 'numeric-max':
      return String(Math.max(Number(ours), Number(theirs)));
  }
}
