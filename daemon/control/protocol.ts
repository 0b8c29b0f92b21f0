/**
 * The control socket's protocol: JSON-RPC 2.0, one object a line, over a Unix socket. `version` is raised when a method changes
 * in a way that an older iserctl would misread.
 */
import { z } from 'zod';

export const controlVersion = 1;

export const requestSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  id: z.union([z.number(), z.string()]),
  method: z.string(),
  params: z.record(z.string(), z.unknown()).optional(),
});

const registration = z.object({
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
});

export const statusSchema = z.object({
  version: z.number(),
  pid: z.number(),
  uptimeSeconds: z.number(),
  volumes: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      device: z.string().nullable(),
      socket: z.string().nullable(),
      target: z.string(),
      lun: z.number(),
      transport: z.string(),
      identity: z.string(),
      sizeBytes: z.number(),
      logicalBlockLength: z.number(),
      readOnly: z.boolean(),
      failure: z.string().nullable(),
      sessions: z.array(
        z.object({
          lane: z.number(),
          state: z.string(),
          portal: z.string(),
          reconnects: z.number(),
          clients: z.number(),
          inFlight: z.number(),
          reads: z.number(),
          writes: z.number(),
          others: z.number(),
          bytesRead: z.number(),
          bytesWritten: z.number(),
          errors: z.number(),
          clientsDropped: z.number(),
        }),
      ),
    }),
  ),
  lanes: z.array(
    z.object({
      arenaBytes: z.number(),
      usedBytes: z.number(),
      peakUsedBytes: z.number(),
      requestsInFlight: z.number(),
      registrations: z.array(registration),
    }),
  ),
});
export type Status = z.infer<typeof statusSchema>;

export const responseSchema = z.union([
  z.object({
    jsonrpc: z.literal('2.0'),
    id: z.union([z.number(), z.string()]),
    result: z.unknown(),
  }),
  z.object({
    jsonrpc: z.literal('2.0'),
    id: z.union([z.number(), z.string()]).nullable(),
    error: z.object({ code: z.number(), message: z.string() }),
  }),
]);

/** JSON-RPC 2.0 §5.1. */
export const RpcError = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  internalError: -32603,
} as const;
