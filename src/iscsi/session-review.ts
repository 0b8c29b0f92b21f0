/**
 * What is found out about a connection before waiting tasks are sent on it, and again when the target says that something has changed:
 * what its path is good for, and whether it leads to the same logical unit.
 */
import type { IdentityChecks } from './identity-check.ts';
import { findPathAccess } from './path-access.ts';
import type { PathAccess } from './path-access.ts';
import { PathQuality } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import type { ScsiSession } from './scsi-session.ts';

export interface ReviewEvents {
  /** The path has been looked at; if it is not `taken`, nothing else follows. */
  onPath(state: string, taken: boolean): void;
  /** Tasks may be sent. */
  onPassed(): void;
  onOtherUnit(): void;
  onUnitUnknown(message: string): void;
}

export interface SessionReviewOptions {
  readonly recovery: Recovery;
  /** undefined: nobody wants to know. */
  readonly checks: IdentityChecks | undefined;
  /** What the path is asked through. */
  readonly facade: ScsiSession;
}

export class SessionReview {
  readonly #options: SessionReviewOptions;
  readonly #events: ReviewEvents;
  /** Counts what was called off, so that its answers are recognised as stale. */
  #calledOff = 0;

  constructor(options: SessionReviewOptions, events: ReviewEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** Whether a new connection has to be reviewed: the unit of the very first login is what later ones are compared with. */
  isDue(isFirstLogin: boolean): boolean {
    return this.#options.recovery.hasChoice || (this.watchesUnit && !isFirstLogin);
  }

  get watchesUnit(): boolean {
    return this.#options.checks !== undefined;
  }

  /** Of a new connection. */
  begin(isFirstLogin: boolean): void {
    const { recovery } = this.#options;
    const goOn = (): void => {
      if (isFirstLogin || !this.watchesUnit) this.#events.onPassed();
      else this.reviewUnit();
    };
    if (!recovery.hasChoice) {
      goOn();
      return;
    }
    this.#findPathAccess(({ quality, state }) => {
      const taken = recovery.accepts(quality);
      this.#events.onPath(state, taken);
      if (taken) goOn();
    });
  }

  /** Makes the verdict of a review of the unit that is under way unheard. */
  reviewUnit(): void {
    const { checks } = this.#options;
    const calledOff = this.#calledOff;
    checks?.begin((same, message) => {
      if (calledOff !== this.#calledOff) return;
      if (same === true) this.#events.onPassed();
      else if (same === false) this.#events.onOtherUnit();
      else this.#events.onUnitUnknown(message);
    });
  }

  /** The unit has changed: a review that is under way may have seen what it was. */
  noteUnitChange(): void {
    this.#options.checks?.noteChange();
  }

  /** The target says that what its paths are good for has changed (SPC-5 §5.18). */
  reviewPath(): void {
    if (!this.#options.recovery.hasChoice) return;
    this.#findPathAccess(({ quality, state }) => {
      this.#events.onPath(state, quality === PathQuality.best);
    });
  }

  /** The connection is not to be used any more: what is still found out about it goes unheard. */
  callOff(): void {
    this.#calledOff++;
  }

  #findPathAccess(use: (access: PathAccess) => void): void {
    const calledOff = this.#calledOff;
    void findPathAccess(this.#options.facade).then((access) => {
      if (calledOff === this.#calledOff) use(access);
    });
  }
}
