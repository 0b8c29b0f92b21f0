/** systemd notification (sd_notify(3)): what the service manager is told, and the watchdog that is fed only by live lanes. */
export interface ServiceNotifierOptions {
  /** Sends one state string; false when nobody listens. */
  readonly send: (state: string) => boolean;
  /** sd_watchdog_enabled(3), microseconds; 0 = off. */
  readonly watchdogMicroseconds: number;
  /** True when every lane's loop has advanced since the last call. */
  readonly alive: () => boolean;
}

export class ServiceNotifier {
  readonly #options: ServiceNotifierOptions;
  #watchdog: NodeJS.Timeout | undefined;

  constructor(options: ServiceNotifierOptions) {
    this.#options = options;
  }

  ready(status: string): void {
    this.#options.send(`READY=1\nSTATUS=${status}`);
    if (this.#options.watchdogMicroseconds > 0 && this.#watchdog === undefined) {
      const periodMs = this.#options.watchdogMicroseconds / 2000;
      this.#watchdog = setInterval(() => {
        if (this.#options.alive()) this.#options.send('WATCHDOG=1');
      }, periodMs);
      this.#watchdog.unref();
    }
  }

  status(text: string): void {
    this.#options.send(`STATUS=${text}`);
  }

  /** Draining may take `milliseconds` more. */
  stopping(milliseconds: number): void {
    clearInterval(this.#watchdog);
    this.#options.send(`STOPPING=1\nEXTEND_TIMEOUT_USEC=${Math.ceil(milliseconds * 1000)}`);
  }
}
