/** When the service manager is told that the daemon is ready, and what it is told of the volumes. */
import type { ServiceNotifier } from './service-notifier.ts';
import type { Volume } from './volume/volume.ts';

type Watched = Pick<Volume, 'failure' | 'spec' | 'state'>;

export interface ReadinessOptions {
  readonly notifier: Pick<
    ServiceNotifier,
    'endExtension' | 'extend' | 'ready' | 'reloading' | 'status'
  >;
  readonly volumes: () => readonly Watched[];
  /** CLOCK_MONOTONIC. */
  readonly nowMicroseconds: () => bigint;
  /** The daemon is ready for the first time; with what the service manager is told. */
  readonly onReady: (status: string) => void;
}

/**
 * READY comes after the first attempt to start every volume, and not before every required volume serves. While the first attempts last
 * more time is asked for; how long a required volume is waited for after that is the service manager's to say.
 */
export class Readiness {
  readonly #options: ReadinessOptions;
  #attempted = false;
  #isReady = false;
  #isReloading = false;
  #isEnding = false;
  #lastStatus = '';

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  starting(): void {
    this.#options.notifier.extend();
    this.volumesChanged();
  }

  /** Every volume has been tried once. */
  attempted(): void {
    this.#attempted = true;
    this.#options.notifier.endExtension();
    this.volumesChanged();
  }

  /** A volume has another state. */
  volumesChanged(): void {
    if (this.#isEnding) return;
    const volumes = this.#options.volumes();
    const isReady =
      this.#attempted &&
      volumes.every(({ spec, state }) => spec.required !== true || state === 'serving');
    if (isReady && !this.#isReady) {
      this.#isReady = true;
      this.#lastStatus = describe(volumes);
      this.#options.notifier.ready(this.#lastStatus);
      this.#options.onReady(this.#lastStatus);
    } else if (!this.#isReloading) this.#tell(describe(volumes));
  }

  /** Tells of `reload` while it lasts. */
  async during<T>(reload: () => Promise<T>): Promise<T> {
    const { notifier, nowMicroseconds } = this.#options;
    this.#isReloading = true;
    if (this.#isReady) notifier.reloading(nowMicroseconds());
    this.#tell('reloading the configuration');
    try {
      return await reload();
    } finally {
      this.#isReloading = false;
      this.#lastStatus = '';
      if (this.#isReady && !this.#isEnding) notifier.ready(describe(this.#options.volumes()));
      else this.volumesChanged();
    }
  }

  /** From now on there is something else to tell. */
  ending(): void {
    this.#isEnding = true;
  }

  #tell(status: string): void {
    if (status === this.#lastStatus) return;
    this.#lastStatus = status;
    this.#options.notifier.status(status);
  }
}

/** "3 of 5 volumes serve, waiting for data1: no login in time". */
function describe(volumes: readonly Watched[]): string {
  if (volumes.length === 0) return 'no volumes yet';
  const others = volumes.filter(({ state }) => state !== 'serving');
  const text = `${volumes.length - others.length} of ${volumes.length} volumes serve`;
  const first = others.find(({ spec }) => spec.required === true) ?? others.at(0);
  if (first === undefined) return text;
  const reason = first.failure === undefined ? '' : `: ${first.failure.split('\n')[0]}`;
  return `${text}, waiting for ${first.spec.name}${reason}`;
}
