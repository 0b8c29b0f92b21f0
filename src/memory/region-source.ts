import { RegistrationAccess } from './registration.ts';
import type { Registrar, RegistrationStatistics } from './registration.ts';

export type Region = ReturnType<Registrar['register']>;

/** errno of a registration that would pin more than allowed (ibv_reg_mr(3)). */
const ENOMEM = 12;
/** errno of a registration that the device is not made for. */
const EOPNOTSUPP = 95;

export function newStatistics(): RegistrationStatistics {
  return {
    hits: 0,
    misses: 0,
    evictions: 0,
    retries: 0,
    failures: 0,
    entries: 0,
    pinnedBytes: 0,
    registrationMicroseconds: 0,
  };
}

/** A device that may write remotely must be allowed to write locally (ibv_reg_mr(3)). */
export function completeAccess(access: number): number {
  return access & RegistrationAccess.remoteWrite ? access | RegistrationAccess.localWrite : access;
}

/** The registrar with a stop-watch: keeps the figures about regions, and tells "limit reached" from failures that are ours. */
export class RegionSource {
  readonly statistics: RegistrationStatistics = newStatistics();
  readonly #registrar: Registrar;
  readonly #nowMicroseconds: () => number;

  constructor(registrar: Registrar, nowMicroseconds: () => number) {
    this.#registrar = registrar;
    this.#nowMicroseconds = nowMicroseconds;
  }

  /** undefined = a pinning limit was reached (ENOMEM). Any other error is thrown on. */
  register(offset: number, length: number, access: number): Region | undefined {
    const statistics = this.statistics;
    const began = this.#nowMicroseconds();
    try {
      const region = this.#registrar.register(offset, length, access);
      statistics.entries += 1;
      statistics.pinnedBytes += pinnedLength(length, access);
      return region;
    } catch (error) {
      if (!isLimitReached(error)) throw error;
      return undefined;
    } finally {
      statistics.registrationMicroseconds += this.#nowMicroseconds() - began;
    }
  }

  /** `length` and `access` as they were registered. */
  deregister(region: number, length: number, access = 0): void {
    this.statistics.entries -= 1;
    this.statistics.pinnedBytes -= pinnedLength(length, access);
    this.#registrar.deregister(region);
  }
}

/** Pages that the device faults in itself stay the kernel's to take away. */
function pinnedLength(length: number, access: number): number {
  return access & RegistrationAccess.onDemand ? 0 : length;
}

function isLimitReached(error: unknown): boolean {
  return isErrno(error, 'ENOMEM', ENOMEM);
}

export function isUnsupported(error: unknown): error is Error {
  return isErrno(error, 'EOPNOTSUPP', EOPNOTSUPP);
}

function isErrno(error: unknown, name: string, number: number): boolean {
  if (!(error instanceof Error)) return false;
  const { code, errno } = error as NodeJS.ErrnoException;
  return code === name || errno === number || errno === -number;
}
