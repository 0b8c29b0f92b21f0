import winston from 'winston';
import { withoutSecrets } from '../src/iscsi/url.ts';

/** Priorities that journald reads off a line's start (sd-daemon(3)). */
const priorities: Readonly<Record<string, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

export type Logger = winston.Logger;

/**
 * The daemon's logger: everything to stderr, one line per state change. Under journald (JOURNAL_STREAM) lines carry `<N>`
 * priorities and no time; on a terminal they carry the time. Neither `secret`-like keys nor
 * the secrets of URLs reach a line.
 */
export function createLogger(
  level: string,
  underJournal = process.env['JOURNAL_STREAM'] !== undefined,
): Logger {
  const line = winston.format.printf(({ level: name, message, timestamp, ...fields }) => {
    const text = withoutSecrets(`${String(message)}${formatFields(fields)}`);
    return underJournal
      ? `<${priorities[name] ?? 6}>${text}`
      : `${String(timestamp)} ${name}: ${text}`;
  });
  return winston.createLogger({
    level,
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    format: winston.format.combine(winston.format.timestamp(), line),
    transports: [
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston's own class; its types name a stream of another @types/node
      new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] }),
    ],
  });
}

function formatFields(fields: Readonly<Record<string, unknown>>): string {
  let text = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const shown = /secret|password/i.test(key) ? '[redacted]' : value;
    text += ` ${key}=${typeof shown === 'string' ? shown : JSON.stringify(shown)}`;
  }
  return text;
}
