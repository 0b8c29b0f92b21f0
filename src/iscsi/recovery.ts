/** When and where to connect next. */
import type { Portal } from '../transport/transport.ts';

/** A portal as configured: `host` may be a name. */
export interface PortalAddress {
  readonly host: string;
  readonly port: number;
}

/** Turns a host into numeric addresses, best first. Rejects or gives none when there is no such host now. */
export type Resolver = (host: string) => Promise<readonly string[]>;

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
 */
export class PortalRotation {
  readonly #portals: readonly PortalAddress[];
  readonly #resolve: Resolver;
  readonly #maxRedirects: number;
  #turn = 0;
  #addressTurn = 0;
  #redirect: PortalAddress | undefined;
  #redirects = 0;

  constructor(portals: readonly PortalAddress[], resolve: Resolver, maxRedirects: number) {
    this.#portals = portals;
    this.#resolve = resolve;
    this.#maxRedirects = maxRedirects;
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

  /** The last portal did not serve: the next one, and after a round another address of each. */
  onFailure(): void {
    this.#redirects = 0;
    this.#turn++;
    if (this.#turn % this.#portals.length === 0) this.#addressTurn++;
  }

  /** Login ended well there. */
  onSuccess(): void {
    this.#redirects = 0;
  }

  /** False: too many redirects in a row, and this one is not followed. */
  redirect(target: PortalAddress): boolean {
    if (this.#redirects >= this.#maxRedirects) return false;
    this.#redirects++;
    this.#redirect = target;
    return true;
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

  nextPortal(): Promise<Portal> {
    this.#loggedInAtMs = -1;
    this.#redirected = false;
    return this.#rotation.next();
  }

  /** False: one redirect too many. */
  redirect(target: PortalAddress): boolean {
    this.#redirected = this.#rotation.redirect(target);
    return this.#redirected;
  }

  onLoggedIn(nowMs: number): void {
    this.#loggedInAtMs = nowMs;
    this.#rotation.onSuccess();
  }

  /** The connection is closed, or there was none to be had. */
  onClosed(closure: ConnectionClosure): NextAttempt {
    if (this.#redirected) return { delayMs: 0, afterLogin: false };
    if (this.#loggedInAtMs === -1) {
      this.#rotation.onFailure();
      return this.#after(closure.time2WaitMs);
    }
    const upMs = closure.nowMs - this.#loggedInAtMs;
    const raced = !closure.heard && !closure.byUs && upMs <= loginRaceMs;
    if (raced && this.#races < loginRaceLimit) {
      this.#races++;
      return { delayMs: 0, afterLogin: true };
    }
    if (!raced) this.#races = 0;
    if (upMs >= healthyAfterMs) this.#backoff.reset();
    return this.#after(closure.time2WaitMs);
  }

  #after(time2WaitMs: number): NextAttempt {
    return { delayMs: Math.max(this.#backoff.next(), time2WaitMs), afterLogin: false };
  }
}
