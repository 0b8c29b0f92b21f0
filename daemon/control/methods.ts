import type { z } from 'zod';
import type { EventHub } from '../events.ts';
import type { Logger } from '../logging.ts';
import { iserdVersion } from '../version.ts';
import {
  attachParameters,
  detachParameters,
  logLevelParameters,
  noParameters,
  reloadParameters,
  type AttachResult,
  type ReloadResult,
} from './messages.ts';
import { controlVersion } from './protocol.ts';
import { ParametersError, type ControlConnection, type ControlMethods } from './server.ts';

/** What the control socket's methods are made from. */
export interface Controlled {
  readonly status: ControlMethods[string];
  readonly stats: ControlMethods[string];
  /** Throws what keeps the daemon from becoming another one. */
  readonly refuseRestart: () => void;
  readonly restart: () => void;
  readonly reload: (force: boolean) => Promise<ReloadResult>;
  readonly attach: (volume: Readonly<Record<string, unknown>>) => Promise<AttachResult>;
  readonly detach: (name: string, force: boolean) => Promise<{ readonly configured: boolean }>;
  readonly logger: Pick<Logger, 'level'>;
  readonly events: EventHub;
}

/** Every method that `iserctl` may call. */
export function controlMethods(controlled: Controlled): ControlMethods {
  const { logger, events } = controlled;
  return {
    status: controlled.status,
    stats: controlled.stats,
    version: method(noParameters, () => ({
      protocol: controlVersion,
      iserd: iserdVersion(),
      node: process.version,
    })),
    restart: method(noParameters, () => {
      controlled.refuseRestart();
      // When the answer is on its way.
      setImmediate(controlled.restart);
      return {};
    }),
    reload: method(reloadParameters, ({ force }) => controlled.reload(force)),
    attach: method(attachParameters, ({ volume }) => controlled.attach(volume)),
    detach: method(detachParameters, ({ name, force }) => controlled.detach(name, force)),
    'log-level': method(logLevelParameters, ({ level }) => {
      if (level !== undefined) logger.level = level;
      return { level: logger.level };
    }),
    events: method(noParameters, (_, connection) => {
      connection.onGone(
        events.subscribe((event) => {
          connection.notify('event', event);
        }),
      );
      return { following: true };
    }),
  };
}

function method<Schema extends z.ZodType>(
  schema: Schema,
  run: (parameters: z.output<Schema>, connection: ControlConnection) => unknown,
): ControlMethods[string] {
  // eslint-disable-next-line @typescript-eslint/require-await -- what is thrown must be a rejection
  return async (parameters, connection) => {
    const result = schema.safeParse(parameters);
    if (!result.success) {
      const problems = result.error.issues.map(
        ({ path, message }) => `${path.map(String).join('.') || 'parameters'}: ${message}`,
      );
      throw new ParametersError(problems.join('; '));
    }
    return run(result.data, connection);
  };
}
