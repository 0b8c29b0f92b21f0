import { assert } from '../errors.ts';
import { CopyRegistration } from './copy.ts';
import { OnDemandRegistration } from './on-demand.ts';
import { PerIoRegistration } from './per-io.ts';
import { RegistrationCache } from './registration-cache.ts';
import type { RegistrationLimits } from './registration-cache.ts';
import type { Registrar, RegistrationStrategy } from './registration.ts';
import { registerWholeArena } from './static.ts';

export type StrategyName = RegistrationStrategy['name'];
export const strategyNames: readonly StrategyName[] = ['cache', 'static', 'copy', 'per-io', 'odp'];

const defaultLimits: RegistrationLimits = { maxBytes: Infinity, maxEntries: 4096 };
/** Of an NBD connection's receive chunk: small buffers next to each other share a region, and what is pinned stays close to what is used. */
const defaultGranuleBytes = 64 * 1024;

export interface StrategyOptions {
  readonly registrar: Registrar;
  /** The part of the arena that is request memory, and the bytes of all of the arena. */
  readonly arena: {
    readonly offset: number;
    readonly sizeBytes: number;
    readonly bytes: Uint8Array;
  };
  /** cache, per-io; default: no limit on bytes, 4096 regions. */
  readonly limits?: RegistrationLimits;
  /** cache: what a miss is rounded out to; default 64 KiB, 0 = exact ranges. */
  readonly granuleBytes?: number;
  /** cache: rights every region gets beyond those asked for; default none. */
  readonly grantAccess?: number;
  /** copy: the arena range reserved for copies (for instance a buffer that is never released). */
  readonly copyRange?: { readonly offset: number; readonly length: number };
  /** Microseconds on any monotonic clock. */
  readonly nowMicroseconds: () => number;
}

/**
 * The strategy of this name for one (reactor, protection domain). `static`, `odp` and `copy` register here and may throw
 * CodedError `registrationFailed`; `odp` throws ConfigurationError when the device cannot.
 */
export function createStrategy(name: StrategyName, options: StrategyOptions): RegistrationStrategy {
  const limits = options.limits ?? defaultLimits;
  switch (name) {
    case 'cache':
      return new RegistrationCache({
        ...options,
        limits,
        granuleBytes: options.granuleBytes ?? defaultGranuleBytes,
      });
    case 'static':
      return registerWholeArena(options);
    case 'odp':
      return new OnDemandRegistration(options);
    case 'copy': {
      const poolRange = options.copyRange;
      assert(poolRange !== undefined, 'strategy copy needs copyRange');
      const { registrar, nowMicroseconds } = options;
      return new CopyRegistration({
        registrar,
        nowMicroseconds,
        bytes: options.arena.bytes,
        poolRange,
      });
    }
    case 'per-io':
      return new PerIoRegistration({ ...options, limits });
  }
}

/** The registrar of one protection domain of a reactor. */
export function registrarOf(
  reactor: {
    registerMemory(
      protectionDomain: number,
      offset: number,
      length: number,
      access: number,
    ): ReturnType<Registrar['register']>;
    deregisterMemory(region: number): void;
  },
  protectionDomain: number,
): Registrar {
  return {
    register: (offset, length, access) =>
      reactor.registerMemory(protectionDomain, offset, length, access),
    deregister: (region) => {
      reactor.deregisterMemory(region);
    },
  };
}
