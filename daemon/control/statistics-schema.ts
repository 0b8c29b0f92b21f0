/** The parts of `status` and `stats` that are numbers. */
import { z } from 'zod';
import { bucketCount } from '../../src/histogram.ts';

const counts = z.record(z.string(), z.number());

/** Buckets are those of src/histogram.ts. */
const histogramSchema = z.object({
  buckets: z.array(
    z
      .int()
      .min(0)
      .max(bucketCount - 1),
  ),
  counts: z.array(z.number()),
  sumMicroseconds: z.number(),
  maximumMicroseconds: z.number(),
});

/** Since the session was opened. */
const requestCounts = {
  reads: z.number(),
  writes: z.number(),
  flushes: z.number(),
  trims: z.number(),
  writeZeroes: z.number(),
  caches: z.number(),
  blockStatuses: z.number(),
  others: z.number(),
  bytesRead: z.number(),
  bytesWritten: z.number(),
  errors: z.number(),
  refused: z.number(),
  reconnects: z.number(),
  clientsDropped: z.number(),
  stalls: z.number(),
};
const countsByReason = {
  errorsByReason: counts,
  commandFailures: counts,
  connectionsLost: counts,
  loginFailures: counts,
  clientEnds: counts,
  commands: counts,
};

export const sessionSchema = z.object({
  lane: z.number(),
  state: z.string(),
  portal: z.string(),
  clients: z.number(),
  inFlight: z.number(),
  bytesMoved: z.number(),
  ...requestCounts,
  ...countsByReason,
});

export const recentSchema = z.object({
  seconds: z.number(),
  readsPerSecond: z.number(),
  writesPerSecond: z.number(),
  othersPerSecond: z.number(),
  bytesReadPerSecond: z.number(),
  bytesWrittenPerSecond: z.number(),
  latency: z
    .object({
      meanMicroseconds: z.number(),
      p50Microseconds: z.number(),
      p99Microseconds: z.number(),
    })
    .nullable(),
});

export const laneSchema = z.object({
  /** Since it last answered. */
  silentMs: z.number(),
  loopLagMs: z.number(),
  arenaBytes: z.number(),
  usedBytes: z.number(),
  peakUsedBytes: z.number(),
  arenaFailures: z.number(),
  requestsInFlight: z.number(),
  requestCapacity: z.number(),
  registrations: z.array(
    z.object({
      device: z.string(),
      strategy: z.string(),
      hits: z.number(),
      misses: z.number(),
      evictions: z.number(),
      retries: z.number(),
      failures: z.number(),
      entries: z.number(),
      pinnedBytes: z.number(),
      registrationMicroseconds: z.number(),
    }),
  ),
});

/** `status` without parameters looks at the last ten seconds. */
export const statusParametersSchema = z.strictObject({
  /** Over how much of the past rates are taken. */
  seconds: z.number().min(1).max(10).default(10),
});

export const statsParametersSchema = z.strictObject({
  /** Of this volume alone. */
  volume: z.string().optional(),
});

export const statsSchema = z.object({
  version: z.number(),
  /** Of the daemon's clock: the difference of two answers is the time between them. */
  atMs: z.number(),
  volumes: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      sessions: z.number(),
      clients: z.number(),
      inFlight: z.number(),
      ...requestCounts,
      ...countsByReason,
      latencies: z.object({
        read: histogramSchema,
        write: histogramSchema,
        flush: histogramSchema,
        other: histogramSchema,
      }),
    }),
  ),
});
export type Stats = z.infer<typeof statsSchema>;
export type VolumeStats = Stats['volumes'][number];
