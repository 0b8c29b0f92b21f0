/**
 * How request memory becomes visible to the RDMA device. A strategy answers for one (reactor, protection domain) pair and
 * is shared by all sessions of a lane on that device, so registrations outlive connections.
 */

/** Access rights, a bit mask; the same bits native code maps to IBV_ACCESS_*. */
export const RegistrationAccess = {
  localWrite: 1,
  remoteRead: 2,
  remoteWrite: 4,
  /** On-demand paging: the device faults pages in, nothing is pinned. Only the `odp` strategy asks for it. */
  onDemand: 8,
} as const;

/** What a strategy gives for a range: valid until `release`. Negative = `notRegistered`. */
export type RegistrationId = number;
export const notRegistered = -1;

/** The part of a reactor that a strategy uses; `register` throws NativeError (errno ENOMEM when a limit is reached). */
export interface Registrar {
  register(
    offset: number,
    length: number,
    access: number,
  ): { readonly id: number; readonly lkey: number; readonly rkey: number };
  deregister(region: number): void;
}

export interface RegistrationStatistics {
  hits: number;
  misses: number;
  evictions: number;
  /** ENOMEM answers that were cured by eviction, and those that were not. */
  retries: number;
  failures: number;
  entries: number;
  pinnedBytes: number;
  /** Time spent in register calls, from the injected clock. */
  registrationMicroseconds: number;
}

export interface RegistrationStrategy {
  readonly name: 'cache' | 'static' | 'copy' | 'per-io' | 'odp';
  /** Longest range that `acquire` can ever satisfy; asking for more is an error, not a wait. */
  readonly maximumLength: number;
  /**
   * A registration that covers [offset, offset+length) with at least `access`. `notRegistered` means that none can be had until
   * something is released: the caller waits and asks again (never fails the I/O). For `copy` the payload is copied
   * into the registered pool here, unless access is localWrite alone or remoteWrite without remoteRead; localWrite alone
   * (rings of headers and receives, kept for long) is registered where it lies.
   */
  acquire(offset: number, length: number, access: number): RegistrationId;
  lkey(registration: RegistrationId): number;
  rkey(registration: RegistrationId): number;
  /** Arena offset at which the device finds what the caller has at `offset` (differs from `offset` only for `copy`). */
  deviceOffset(registration: RegistrationId, offset: number): number;
  /** Ends the use. `writtenLength` bytes from the start of the range were written by the peer (`copy` copies them out). */
  release(registration: RegistrationId, writtenLength: number): void;
  /** Forgets everything that overlaps the range; what is in use goes at its last release. */
  invalidate(offset: number, length: number): void;
  readonly statistics: RegistrationStatistics;
  /** Deregisters everything. Only after every QP that could use it is destroyed. */
  close(): void;
}
