/** systemd notification (sd_notify(3)): what the service manager is told, and the watchdog that is fed only by live lanes. */
export interface ServiceNotifierOptions {
  /** Sends one state string; false when nobody listens. */
  readonly send: (state: string) => boolean;
  /** sd_watchdog_enabled(3), microseconds; 0 = off. */
  readonly watchdogMicroseconds: number;
  /** True when every lane's loop has advanced since the last call. */
  readonly alive: () => boolean;
  /** Runs `action` again and again until it is cancelled; default: a timer that keeps no process alive. */
  readonly every?: (periodMs: number, action: () => void) => () => void;
}

function everyByTimer(periodMs: number, action: () => void): () => void {
  const timer = setInterval(action, periodMs);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}

/** How often more time is asked for, and for how long each time. */
const extendIntervalMs = 5000;
const extensionMicroseconds = 30_000_000;

export class ServiceNotifier {
  readonly #options: ServiceNotifierOptions;
  #cancelWatchdog: (() => void) | undefined;
  #cancelExtension: (() => void) | undefined;

  constructor(options: ServiceNotifierOptions) {
    this.#options = options;
  }

  /** The start or the end takes as long as it takes: more time is asked for, now and again until `ready`, `stopped` or `endExtension`. */
  extend(): void {
    const { send, every = everyByTimer } = this.#options;
    const ask = (): void => {
      send(`EXTEND_TIMEOUT_USEC=${extensionMicroseconds}`);
    };
    if (this.#cancelExtension !== undefined) return;
    ask();
    this.#cancelExtension = every(extendIntervalMs, ask);
  }

  endExtension(): void {
    this.#cancelExtension?.();
    this.#cancelExtension = undefined;
  }

  ready(status: string): void {
    this.endExtension();
    this.#options.send(`READY=1\nSTATUS=${status}`);
  }

  /** From the start on: the watchdog of a daemon that has become its own successor has been running all the time. */
  feedWatchdog(): void {
    const { send, watchdogMicroseconds, alive, every = everyByTimer } = this.#options;
    if (watchdogMicroseconds === 0) return;
    // The predecessor may have fed it long ago.
    send('WATCHDOG=1');
    // Half of the time that the service manager allows, in milliseconds.
    this.#cancelWatchdog ??= every(watchdogMicroseconds / 2000, () => {
      if (alive()) send('WATCHDOG=1');
    });
  }

  status(text: string): void {
    this.#options.send(`STATUS=${text}`);
  }

  /** Another configuration is taken up, or the service goes on as another program in this process; `ready` says when that is done. */
  reloading(monotonicMicroseconds: bigint): void {
    this.#options.send(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds}`);
  }

  /** Draining begins. */
  stopping(): void {
    this.#cancelWatchdog?.();
    this.#options.send('STOPPING=1\nSTATUS=stopping: requests are being answered');
    this.extend();
  }
}
