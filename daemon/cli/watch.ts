import { setTimeout as delay } from 'node:timers/promises';
import type { Terminal } from './terminal.ts';

const intervalMs = 1000;

/** Control sequences (ECMA-48) that a redraw needs. */
const home = '\x1b[H';
const clearScreen = '\x1b[2J';
const clearToEndOfLine = '\x1b[K';
const clearBelow = '\x1b[J';
const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';

/**
 * Shows what `draw` says once a second until SIGINT or SIGTERM, or until nobody reads it: on a terminal each picture in the place of the last
 * one, otherwise one after the other. A failure of the first is the caller's; a later one, such as a daemon that is being
 * restarted, is shown and tried again.
 */
export async function watch(terminal: Terminal, draw: () => Promise<string>): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => {
    stop.abort();
  };
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    stop.abort();
    if (error.code !== 'EPIPE') process.exitCode = 1;
  };
  const isStopped = (): boolean => stop.signal.aborted;
  let picture = await draw();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  process.stdout.on('error', onOutputError);
  if (terminal.isTty) process.stdout.write(`${hideCursor}${clearScreen}`);
  try {
    for (;;) {
      process.stdout.write(terminal.isTty ? fitted(picture, terminal) : `${picture}\n`);
      await delay(intervalMs, undefined, { signal: stop.signal }).catch(() => undefined);
      if (isStopped()) return;
      picture = await draw().catch(failureText);
      if (isStopped()) return;
    }
  } finally {
    if (terminal.isTty) process.stdout.write(showCursor);
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function failureText(error: unknown): string {
  return `${(error as Error).message}; trying again\n`;
}

/** The picture from the upper left corner on, without lines that would make the terminal scroll or break. */
function fitted(picture: string, { columns, rows }: Terminal): string {
  const lines = picture
    .trimEnd()
    .split('\n')
    .slice(0, rows - 1);
  const clipped = lines.map((line) => `${line.slice(0, columns)}${clearToEndOfLine}\n`);
  return `${home}${clipped.join('')}${clearBelow}`;
}
