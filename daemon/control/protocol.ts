/**
 * The control socket's protocol: JSON-RPC 2.0, one object a line, over a Unix socket. `version` is raised when a method changes
 * in a way that an older iserctl would misread.
 */
import { z } from 'zod';
import { laneSchema, recentSchema, sessionSchema } from './statistics-schema.ts';

export const controlVersion = 1;

export const requestSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  id: z.union([z.number(), z.string()]),
  method: z.string(),
  params: z.record(z.string(), z.unknown()).optional(),
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
      sessions: z.array(sessionSchema),
      /** null: the daemon has not looked long enough. */
      recent: recentSchema.nullable(),
    }),
  ),
  lanes: z.array(laneSchema),
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
    error: z.object({
      code: z.number(),
      message: z.string(),
      /** What scripts may act on. */
      data: z.object({ code: z.string() }).optional(),
    }),
  }),
]);

/** What a daemon sends unasked, after a method that asked for it once and for all. */
export const notificationSchema = z.object({
  jsonrpc: z.literal('2.0'),
  method: z.string(),
  params: z.unknown(),
});

/** JSON-RPC 2.0 §5.1. */
export const RpcError = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  /** The daemon says no; `data.code` says which no. */
  refused: -32000,
} as const;
