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

export class ServiceNotifier {
  readonly #options: ServiceNotifierOptions;
  #cancelWatchdog: (() => void) | undefined;

  constructor(options: ServiceNotifierOptions) {
    this.#options = options;
  }

  ready(status: string): void {
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

  /** The service goes on as another program in this process, which says READY again; the watchdog is fed until then. */
  reloading(monotonicMicroseconds: bigint): void {
    this.#options.send(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds}`);
  }

  /** Draining may take `milliseconds` more. */
  stopping(milliseconds: number): void {
    this.#cancelWatchdog?.();
    this.#options.send(`STOPPING=1\nEXTEND_TIMEOUT_USEC=${Math.ceil(milliseconds * 1000)}`);
  }
}
