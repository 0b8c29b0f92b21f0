/** When and where to connect next. */
import type { Portal } from '../transport/transport.ts';

/** A portal as configured: `host` may be a name. */
export interface PortalAddress {
  readonly host: string;
  readonly port: number;
}

/** Turns a host into numeric addresses, best first. Rejects or gives none when there is no such host now. */
export type Resolver = (host: string) => Promise<readonly string[]>;

/** What a path to the logical unit is good for (asymmetric logical unit access, SPC-5 §5.18). */
export const PathQuality = {
  /** As good as any. */
  best: 'best',
  /** It works, but there may be better ones. */
  secondBest: 'second-best',
  /** Commands are refused on it. */
  unusable: 'unusable',
} as const;
export type PathQuality = (typeof PathQuality)[keyof typeof PathQuality];

const firstDelayMs = 1000;
const longestDelayMs = 30_000;
/** A delay is shortened by up to this part, so that many sessions do not knock at the same moment. */
const jitter = 0.25;

/** Delays between attempts: 0, 1, 2, 4 ... 30 s, with jitter. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Attempts in a row that have failed. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds before the next attempt; counts one failure. */
  next(): number {
    const failures = this.#failures++;
    if (failures === 0) return 0;
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(failures - 1, 16));
    return Math.round(delayMs * (1 - jitter * this.#random()));
  }

  /** The connection has proved itself. */
  reset(): void {
    this.#failures = 0;
  }
}

/**
 * Portals in turn, and every address of each. A redirect (RFC 7143 §11.13.5) is followed for the next attempt only: if it
 * leads nowhere the configured portals are asked again.
 *
 * A portal that has served is kept until it fails, then the next one is asked at once. A *round* is over when every portal has failed
 * in a row. A portal whose path is worse than others may be (SPC-5 §5.18) counts as failed for now, but is remembered: it is
 * taken when the round has found nothing better.
 */
export class PortalRotation {
  readonly #portals: readonly PortalAddress[];
  readonly #resolve: Resolver;
  readonly #maxRedirects: number;
  #turn = 0;
  #addressTurn = 0;
  #redirect: PortalAddress | undefined;
  #redirects = 0;
  /** Portals that have failed in a row. */
  #failed = 0;
  /** Turn of the first portal of this round that would do; -1: none. */
  #secondBest = -1;
  #takesSecondBest = false;

  constructor(portals: readonly PortalAddress[], resolve: Resolver, maxRedirects: number) {
    this.#portals = portals;
    this.#resolve = resolve;
    this.#maxRedirects = maxRedirects;
  }

  get hasChoice(): boolean {
    return this.#portals.length > 1;
  }

  /** Where to connect now; rejects when the name cannot be resolved. */
  async next(): Promise<Portal> {
    const redirect = this.#redirect;
    this.#redirect = undefined;
    const { host, port } = redirect ?? this.#portals[this.#turn % this.#portals.length];
    const addresses = await this.#resolve(host);
    if (addresses.length === 0) throw new Error(`no address for ${host}`);
    return { address: addresses[this.#addressTurn % addresses.length], port };
  }

  /**
   * The last portal did not serve: the next one, and after a round another address of each. True when the round is over: a pause is
   * due.
   */
  onFailure(): boolean {
    this.#redirects = 0;
    if (this.#takesSecondBest) {
      this.#beginRound();
      this.#turn++;
      return true;
    }
    this.#turn++;
    if (this.#turn % this.#portals.length === 0) this.#addressTurn++;
    this.#failed++;
    if (this.#failed < this.#portals.length) return false;
    if (this.#secondBest >= 0) {
      this.#turn = this.#secondBest;
      this.#takesSecondBest = true;
      return false;
    }
    this.#beginRound();
    return true;
  }

  /** Whether the portal just reached is to be used; if not, `onFailure` follows when its connection is closed. */
  accepts(path: PathQuality): boolean {
    if (path === PathQuality.unusable) return false;
    if (path === PathQuality.best || this.#takesSecondBest || !this.hasChoice) return true;
    if (this.#secondBest < 0) this.#secondBest = this.#turn;
    return false;
  }

  onLoggedIn(): void {
    this.#redirects = 0;
  }

  /** The portal has served for a while: what failed before is forgotten. */
  onSuccess(): void {
    this.#beginRound();
  }

  /** False: too many redirects in a row, and this one is not followed. */
  redirect(target: PortalAddress): boolean {
    if (this.#redirects >= this.#maxRedirects) return false;
    this.#redirects++;
    this.#redirect = target;
    return true;
  }

  #beginRound(): void {
    this.#failed = 0;
    this.#secondBest = -1;
    this.#takesSecondBest = false;
  }
}

/** A connection that was up for so long counts as healthy: the next loss starts with short delays again. */
const healthyAfterMs = 10_000;
/** How soon after login, without a word from the target, a loss is put down to its login race; and how often in a row. */
const loginRaceMs = 1000;
const loginRaceLimit = 5;

export interface RecoveryOptions {
  readonly portals: readonly PortalAddress[];
  readonly resolve: Resolver;
  readonly random: () => number;
  readonly maxRedirects: number;
}

/** How a connection ended, as far as the next attempt goes. */
export interface ConnectionClosure {
  readonly nowMs: number;
  /** The target has sent something after the login. */
  readonly heard: boolean;
  /** It ended because we wanted it to. */
  readonly byUs: boolean;
  /** What the target has asked for. */
  readonly time2WaitMs: number;
  /** The target had stopped answering: nothing says that it would now. */
  readonly silent: boolean;
}

export interface NextAttempt {
  readonly delayMs: number;
  /** The target was caught by a command that came before it had left its login state. */
  readonly afterLogin: boolean;
}

/** Where to connect and after which pause, from how the last connection went. */
export class Recovery {
  readonly #rotation: PortalRotation;
  readonly #backoff: Backoff;
  #redirected = false;
  /** The portal is to be left although it answers. */
  #avoided = false;
  /** -1: the connection has not logged in. */
  #loggedInAtMs = -1;
  #races = 0;

  constructor(options: RecoveryOptions) {
    this.#rotation = new PortalRotation(options.portals, options.resolve, options.maxRedirects);
    this.#backoff = new Backoff(options.random);
  }

  get failures(): number {
    return this.#backoff.failures;
  }

  /** There is more than one portal. */
  get hasChoice(): boolean {
    return this.#rotation.hasChoice;
  }

  nextPortal(): Promise<Portal> {
    this.#loggedInAtMs = -1;
    this.#redirected = false;
    this.#avoided = false;
    return this.#rotation.next();
  }

  /** False: one redirect too many. */
  redirect(target: PortalAddress): boolean {
    this.#redirected = this.#rotation.redirect(target);
    return this.#redirected;
  }

  onLoggedIn(nowMs: number): void {
    this.#loggedInAtMs = nowMs;
    this.#rotation.onLoggedIn();
  }

  /** Whether the path through the present portal is to be used. If not, the next attempt goes to another portal. */
  accepts(path: PathQuality): boolean {
    this.#avoided = !this.#rotation.accepts(path);
    return !this.#avoided;
  }

  /** The present portal serves no longer as it should: the next attempt goes to another one, without a pause. */
  avoidPortal(): void {
    this.#avoided = true;
  }

  /** The connection is closed, or there was none to be had. */
  onClosed(closure: ConnectionClosure): NextAttempt {
    if (this.#redirected) return { delayMs: 0, afterLogin: false };
    if (this.#loggedInAtMs === -1) return this.#afterFailure(closure);
    const upMs = closure.nowMs - this.#loggedInAtMs;
    const wasHealthy = upMs >= healthyAfterMs;
    if (wasHealthy) {
      this.#backoff.reset();
      this.#rotation.onSuccess();
    }
    if (this.#avoided) return this.#afterFailure(closure);
    const raced = !closure.heard && !closure.byUs && upMs <= loginRaceMs;
    if (raced && this.#races < loginRaceLimit) {
      this.#races++;
      return { delayMs: 0, afterLogin: true };
    }
    if (!raced) this.#races = 0;
    // A portal that does not keep its connections, or does not answer on them, is left if there are others.
    const goesOn = this.#rotation.hasChoice && !closure.byUs && (closure.silent || !wasHealthy);
    return goesOn ? this.#afterFailure(closure) : this.#after(closure.time2WaitMs);
  }

  /** The next portal at once, a pause after each round. Time2Wait is for a return to the same place (RFC 7143 §11.15.3). */
  #afterFailure(closure: ConnectionClosure): NextAttempt {
    return this.#rotation.onFailure()
      ? this.#after(closure.time2WaitMs)
      : { delayMs: 0, afterLogin: false };
  }

  #after(time2WaitMs: number): NextAttempt {
    return { delayMs: Math.max(this.#backoff.next(), time2WaitMs), afterLogin: false };
  }
}
