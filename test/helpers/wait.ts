import { existsSync, watch } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves when a Unix socket accepts connections: watches its directory, then asks. Rejects after `timeoutMs`. */
export async function waitForSocket(path: string, timeoutMs = 20_000): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  while (!(await accepts(path))) {
    if (signal.aborted) throw new Error(`nobody listens on ${path} after ${timeoutMs} ms`);
    await directoryChange(dirname(path), path, signal);
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => {
      resolve(false);
    });
  });
}

/** Waits for something to happen in the directory; a file that is there already may only lack its listen(2): ask again soon. */
function directoryChange(directory: string, path: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(directory);
    const timer = setTimeout(done, existsSync(path) ? 20 : 500);
    function done(): void {
      clearTimeout(timer);
      watcher.close();
      signal.removeEventListener('abort', done);
      resolve();
    }
    watcher.on('change', done);
    signal.addEventListener('abort', done);
  });
}

/** Polls what gives no notification (sysfs, a target's list of sessions) until `condition` holds. Rejects after `timeoutMs`. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() >= end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(pollIntervalMs);
  }
}

const pollIntervalMs = 50;
