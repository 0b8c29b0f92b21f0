/** What the login engine takes and gives. The engine itself is login.ts. */
import type { LoginFailure } from './login-status.ts';

export interface ChapCredentials {
  readonly user: string;
  readonly secret: Uint8Array;
}

/** Which values of HeaderDigest or DataDigest are offered, best first. */
export type DigestPreference = 'none' | 'crc32c' | 'prefer-crc32c';

export interface LoginOptions {
  readonly initiatorName: string;
  /** Absent in discovery. */
  readonly targetName?: string;
  readonly sessionType: 'Normal' | 'Discovery';
  /** Offer RFC 7145's keys. */
  readonly rdma: boolean;
  /** Largest data segment that we take; bytes. */
  readonly receiveDataSegmentLength: number;
  readonly firstBurstLength: number;
  readonly maxBurstLength: number;
  readonly immediateData: boolean;
  readonly initialR2t: boolean;
  readonly headerDigest: DigestPreference;
  readonly dataDigest: DigestPreference;
  /** What we answer to the target's challenge. With credentials nothing but CHAP is offered. */
  readonly chap?: ChapCredentials;
  /** What the target must answer to ours. */
  readonly mutualChap?: ChapCredentials;
  /** CHAP_A numbers, best first (RFC 7143 §12.1.3 and IANA). */
  readonly chapAlgorithms?: readonly number[];
  /**
   * Which operational keys are offered; by default every one, so that one round trip does. With 'required-only' the target is
   * left to propose the rest.
   */
  readonly offer?: 'every-key' | 'required-only';
  readonly randomBytes: (length: number) => Uint8Array;
}

/** One Login Request, without what the session knows (ISID, TSIH, tags, sequence numbers). */
export interface LoginRequest {
  readonly csg: number;
  readonly nsg: number;
  readonly transit: boolean;
  readonly continued: boolean;
  readonly text: Uint8Array;
  /** The answer may be the last one of the login: receives for the full feature phase must be posted before it is sent. */
  readonly entersFullFeature: boolean;
}

export interface LoginResponse {
  readonly transit: boolean;
  readonly continued: boolean;
  readonly csg: number;
  readonly nsg: number;
  readonly tsih: number;
  readonly statusClass: number;
  readonly statusDetail: number;
  readonly text: Uint8Array;
}

export type LoginStep =
  | { readonly kind: 'send'; readonly request: LoginRequest }
  | { readonly kind: 'complete'; readonly result: LoginResult }
  | {
      readonly kind: 'redirect';
      readonly address: string;
      readonly port: number;
      readonly portalGroupTag?: number;
      readonly permanent: boolean;
    }
  | {
      readonly kind: 'fail';
      readonly failure: LoginFailure;
      readonly statusClass: number;
      readonly statusDetail: number;
      readonly message: string;
      /** Whether the same login may succeed later without anybody changing the configuration. */
      readonly retryable: boolean;
      /**
       * Set when the secret may have been right and the algorithm was not: targets exist that number algorithms in their own
       * way. One more login with these `chapAlgorithms` will tell.
       */
      readonly retryWithChapAlgorithms?: readonly number[];
    };

/** What a session may rely on. Lengths in bytes, times in seconds. */
export interface SessionParameters {
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly initialR2t: boolean;
  readonly immediateData: boolean;
  readonly firstBurstLength: number;
  readonly maxBurstLength: number;
  /** MaxRecvDataSegmentLength of the target, or TargetRecvDataSegmentLength. */
  readonly maxSendDataSegmentLength: number;
  readonly maxReceiveDataSegmentLength: number;
  readonly maxOutstandingR2t: number;
  readonly defaultTime2Wait: number;
  readonly defaultTime2Retain: number;
}

export interface LoginResult {
  readonly tsih: number;
  readonly parameters: SessionParameters;
  readonly targetPortalGroupTag?: number;
  readonly targetAlias?: string;
  /** Every negotiated or declared key and its value, for inspection. */
  readonly keys: ReadonlyMap<string, string>;
}
