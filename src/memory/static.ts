import { CodedError } from '../errors.ts';
import { RegistrationAccess } from './registration.ts';
import { RegistrationCache } from './registration-cache.ts';
import { notRegistered } from './registration.ts';
import type { Registrar, RegistrationStrategy } from './registration.ts';

const payloadAccess =
  RegistrationAccess.localWrite | RegistrationAccess.remoteRead | RegistrationAccess.remoteWrite;
/** One region normally; more only while invalidated ones are still in use. */
const maximumRegions = 1024;

export interface StaticRegistrationOptions {
  readonly registrar: Registrar;
  readonly arena: { readonly offset: number; readonly sizeBytes: number };
  readonly nowMicroseconds: () => number;
}

/**
 * The whole arena in one region with all rights, registered now. No registration ever happens on the way of an I/O; all of the
 * arena is pinned for good, and the target may reach all of it. In terms of the cache: one granule as large as the arena, never
 * swept. Throws CodedError `registrationFailed` when the limit on pinned memory does not allow it.
 */
export function registerWholeArena(options: StaticRegistrationOptions): RegistrationStrategy {
  const { offset, sizeBytes } = options.arena;
  const cache = new RegistrationCache({
    ...options,
    name: 'static',
    grantAccess: payloadAccess,
    granuleBytes: sizeBytes,
    limits: { maxBytes: Infinity, maxEntries: maximumRegions },
  });
  const registration = cache.acquire(offset, sizeBytes, payloadAccess);
  if (registration === notRegistered) {
    throw new CodedError(
      'registrationFailed',
      `cannot register the whole arena of ${sizeBytes} bytes: raise RLIMIT_MEMLOCK, use a smaller arena or strategy "cache"`,
    );
  }
  cache.release(registration);
  return cache;
}
