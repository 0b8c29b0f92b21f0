/**
 * Package entry `iserd/memory`: request memory for RDMA programs whose buffers come from one arena.
 *
 * - `SlabPool` hands out buffers of an arena (any contiguous memory named by offsets) with reference counts.
 * - `createStrategy` decides how those buffers become visible to an RDMA device: through the pin-down cache
 *   (`RegistrationCache`), with everything registered at start, through a small pool of copies, around each use, or with pages
 *   that the device faults in. The device is whatever implements `Registrar`: two functions, register and deregister.
 *
 * Nothing here allocates on the JavaScript heap per I/O, does I/O, or starts timers: clocks are handed in.
 *
 *     const pool = new SlabPool({ sizeBytes: arena.sizeBytes });
 *     const cache = createStrategy('cache', { registrar, arena: { offset: 0, sizeBytes, bytes }, nowMicroseconds });
 *     const buffer = pool.allocate(65536);
 *     const registration = cache.acquire(buffer, 65536, RegistrationAccess.remoteRead);
 *     // ... give cache.rkey(registration) and the buffer's address to the peer; when it is done:
 *     cache.release(registration, 0);
 *     pool.release(buffer);
 */
export { noBuffer } from './buffer-pool.ts';
export type { BufferPool, BufferPoolStatistics, BufferWaiter } from './buffer-pool.ts';
export { SlabPool } from './slab-pool.ts';
export type { SlabPoolOptions } from './slab-pool.ts';
export { notRegistered, RegistrationAccess } from './registration.ts';
export type {
  Registrar,
  RegistrationId,
  RegistrationStatistics,
  RegistrationStrategy,
} from './registration.ts';
export { RegistrationCache } from './registration-cache.ts';
export type { RegistrationCacheOptions, RegistrationLimits } from './registration-cache.ts';
export { CopyRegistration } from './copy.ts';
export type { CopyRegistrationOptions } from './copy.ts';
export { PerIoRegistration } from './per-io.ts';
export type { PerIoRegistrationOptions } from './per-io.ts';
export { OnDemandRegistration } from './on-demand.ts';
export type { OnDemandRegistrationOptions } from './on-demand.ts';
export { registerWholeArena } from './static.ts';
export type { StaticRegistrationOptions } from './static.ts';
export { createStrategy, registrarOf, strategyNames } from './registration-strategies.ts';
export type { StrategyName, StrategyOptions } from './registration-strategies.ts';
