import { fstatSync } from 'node:fs';
import winston from 'winston';
import { withoutSecrets } from '../src/iscsi/url.ts';
import type { Timers } from '../src/timers.ts';
import { withoutKeptSecrets } from './config/secret.ts';
import { RepeatFilter } from './repeat-filter.ts';

/** Priorities that journald reads off a line's start (sd-daemon(3)). */
const priorities: Readonly<Record<string, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

export type Logger = winston.Logger;

type Entry = winston.Logform.TransformableInfo;

/** Of entries that tell of others: they are not repeats themselves. */
const summary = Symbol('summary');

/** What no log has to wait for at the end. */
const quietTimers: Timers = {
  now: () => performance.now(),
  schedule: (delayMs, callback) => {
    const timeout = setTimeout(callback, delayMs).unref();
    return () => {
      clearTimeout(timeout);
    };
  },
};

/**
 * The daemon's logger: everything to stderr, one line per state change. When stderr is the journal lines carry `<N>` priorities and no
 * time; otherwise they carry the time. Of the same thing there are ten lines a minute, then the number of repeats. Neither
 * `secret`-like keys, nor the secrets of URLs, nor any secret that the process keeps reach a line.
 */
export function createLogger(
  level: string,
  underJournal = isJournal(),
  timers = quietTimers,
): Logger {
  const repeats = new RepeatFilter<Entry>(timers, (entry, count, seconds) => {
    const { message, level: name, ...fields } = entry;
    const text = `${String(message)}: repeated ${count} times in ${seconds} s`;
    logger.log({ ...fields, level: name, message: text, [summary]: true });
  });
  const withoutRepeats = winston.format((entry) =>
    summary in entry || repeats.admits(kindOf(entry), entry) ? entry : false,
  );
  const line = winston.format.printf(({ level: name, message, timestamp, ...fields }) => {
    const text = oneLine(redacted(`${String(message)}${formatFields(fields)}`));
    return underJournal
      ? `<${priorities[name] ?? 6}>${text}`
      : `${String(timestamp)} ${name}: ${text}`;
  });
  const logger = winston.createLogger({
    level,
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    format: winston.format.combine(withoutRepeats(), winston.format.timestamp(), line),
    transports: [
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston's own class; its types name a stream of another @types/node
      new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] }),
    ],
  });
  process.once('exit', () => {
    repeats.close();
  });
  return logger;
}

/** A text as it may leave the process. */
export function redacted(text: string): string {
  return withoutKeptSecrets(withoutSecrets(text));
}

/**
 * systemd.exec(5): JOURNAL_STREAM is device and inode of the stream that goes to the journal. The environment is inherited by those whose
 * stderr has been redirected since, so both have to be compared.
 */
export function isJournal(
  stream = process.env['JOURNAL_STREAM'],
  { dev, ino }: { readonly dev: bigint; readonly ino: bigint } = fstatSync(2, { bigint: true }),
): boolean {
  return stream === `${dev}:${ino}`;
}

/** Who says it, and what: numbers that are no names, such as delays and counts, are not part of it. */
function kindOf({ level, message, ...fields }: Entry): string {
  const parts = Object.entries(fields).filter(
    ([key, value]) => typeof value !== 'number' || key === 'session' || key === 'lane',
  );
  return JSON.stringify([level, message, parts]);
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

/** What a peer has said does not begin a line of its own, with a priority of its own. */
function oneLine(text: string): string {
  return text.replaceAll(/[\x00-\x1f]/g, (character) => JSON.stringify(character).slice(1, -1));
}
