import type {
  LoginOptions,
  LoginRequest,
  LoginResponse,
  LoginStep,
} from '../../../src/iscsi/login.ts';
import { parseTextMap } from '../../../src/iscsi/text-keys.ts';

/** Parts that a scripted target is made of. */

export const tcpOptions: LoginOptions = {
  initiatorName: 'iqn.2026-01.org.example:initiator',
  targetName: 'iqn.2026-01.org.example:disk',
  sessionType: 'Normal',
  rdma: false,
  receiveDataSegmentLength: 262144,
  firstBurstLength: 65536,
  maxBurstLength: 1048576,
  immediateData: true,
  initialR2t: true,
  headerDigest: 'prefer-crc32c',
  dataDigest: 'none',
  randomBytes: (length) => Uint8Array.from({ length }, (_, i) => i + 1),
};

export const iserOptions: LoginOptions = {
  ...tcpOptions,
  rdma: true,
  receiveDataSegmentLength: 8192,
  firstBurstLength: 8192,
};

/** The same side without a target, looking for some. */
export function discoveryOptions(options: LoginOptions): LoginOptions {
  const copy: { -readonly [K in keyof LoginOptions]: LoginOptions[K] } = { ...options };
  delete copy.targetName;
  copy.sessionType = 'Discovery';
  return copy;
}

export const secret = new TextEncoder().encode('initiator-secret');
export const mutualSecret = new TextEncoder().encode('the-target-secret');

export function textOf(keys: Record<string, string>): Uint8Array {
  const text = Object.entries(keys).map(([key, value]) => `${key}=${value}\0`);
  return new TextEncoder().encode(text.join(''));
}

/** A response in the operational stage without T; `fields` change it. */
export function answer(
  keys: Record<string, string>,
  fields: Partial<LoginResponse> = {},
): LoginResponse {
  return {
    transit: false,
    continued: false,
    csg: 1,
    nsg: 0,
    tsih: 0,
    statusClass: 0,
    statusDetail: 0,
    text: textOf(keys),
    ...fields,
  };
}

export const toFullFeature = { transit: true, nsg: 3, tsih: 256 } as const;
export const inSecurity = { csg: 0 } as const;
export const toOperational = { csg: 0, transit: true, nsg: 1 } as const;

export function keysOf(request: LoginRequest): Record<string, string> {
  return Object.fromEntries(parseTextMap(request.text, 'Login Request'));
}

/** The request of a `send` step. */
export function sent(step: LoginStep): LoginRequest {
  if (step.kind !== 'send') throw new Error(`not a request: ${JSON.stringify(step)}`);
  return step.request;
}

/** What LIO's isert says to a complete offer; InitialR2T and the in-order keys are left out. */
export const lioAnswer = {
  TargetPortalGroupTag: '1',
  TargetAlias: 'LIO Target',
  HeaderDigest: 'None',
  DataDigest: 'None',
  ImmediateData: 'Yes',
  MaxBurstLength: '262144',
  FirstBurstLength: '8192',
  MaxOutstandingR2T: '1',
  MaxConnections: '1',
  ErrorRecoveryLevel: '0',
  DefaultTime2Wait: '2',
  DefaultTime2Retain: '0',
  RDMAExtensions: 'Yes',
  InitiatorRecvDataSegmentLength: '8192',
  TargetRecvDataSegmentLength: '8192',
};
