/** Parameters and results of the control methods that change or follow a daemon; `status` is in protocol.ts, events in event-schema.ts. */
import { z } from 'zod';
import { logLevels } from '../config/schema.ts';

export const noParameters = z.strictObject({});

export const versionResult = z.object({
  /** Of this protocol. */
  protocol: z.number(),
  iserd: z.string(),
  node: z.string(),
});

export const reloadParameters = z.strictObject({ force: z.boolean().default(false) });

export const reloadResult = z.object({
  volumes: z.array(
    z.object({
      name: z.string(),
      /** refused: it goes on as before; failed: see the reason. */
      outcome: z.enum(['added', 'removed', 'changed', 'unchanged', 'refused', 'failed']),
      /** Of a change. */
      keys: z.array(z.string()),
      reason: z.string().nullable(),
    }),
  ),
  /** Changed, and taken up by a new process only: `iserctl restart`. */
  restartKeys: z.array(z.string()),
});
export type ReloadResult = z.infer<typeof reloadResult>;

/** The keys of a [[volume]] as the configuration file has them; the daemon checks them like those. */
export const attachParameters = z.strictObject({ volume: z.record(z.string(), z.unknown()) });

export const attachResult = z.object({
  name: z.string(),
  device: z.string().nullable(),
  socket: z.string().nullable(),
});
export type AttachResult = z.infer<typeof attachResult>;

export const detachParameters = z.strictObject({
  name: z.string(),
  force: z.boolean().default(false),
});

export const detachResult = z.object({
  /** It is in the configuration, so that a reload or the next start brings it back. */
  configured: z.boolean(),
});

export const logLevelParameters = z.strictObject({ level: z.enum(logLevels).optional() });
export const logLevelResult = z.object({ level: z.string() });

/** Answer to `events`; from then on every event is a notification `event` on the same connection, until the daemon closes it. */
export const eventsResult = z.object({ following: z.literal(true) });
