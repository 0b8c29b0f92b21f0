/** What the daemon tells of itself while it happens: the `events` method and `iserctl events --json`. */
import { z } from 'zod';

const time = z.iso.datetime();
const volume = z.string();
const reason = z.string().optional();

export const eventSchema = z.discriminatedUnion('event', [
  /** A volume has another state. */
  z.object({ event: z.literal('volume'), time, volume, state: z.string(), reason }),
  /** A session: "up", "connecting" … are its states; "login-failed", "connection-closed", "reconnecting" … say why. */
  z.object({
    event: z.literal('session'),
    time,
    volume,
    /** Of the volume's sessions, from 0. */
    session: z.number(),
    change: z.string(),
    reason,
  }),
  z.object({
    event: z.literal('device'),
    time,
    volume,
    device: z.string(),
    change: z.enum(['attached', 'detached', 'left']),
    reason,
  }),
  /** The logical unit has another size. */
  z.object({
    event: z.literal('geometry'),
    time,
    volume,
    beforeBytes: z.number(),
    sizeBytes: z.number(),
  }),
  /** An NBD client broke the protocol or a limit, and was cut off. */
  z.object({ event: z.literal('client-dropped'), time, volume, reason: z.string() }),
  z.object({
    event: z.literal('reload'),
    time,
    /** refused: nothing was changed. */
    outcome: z.enum(['done', 'incomplete', 'refused']),
    reason: z.string(),
  }),
  z.object({
    event: z.literal('daemon'),
    time,
    change: z.enum(['ready', 'stopping', 'restarting']),
    reason: z.string(),
  }),
]);

export type DaemonEvent = z.infer<typeof eventSchema>;
