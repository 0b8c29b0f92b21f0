import type { ScsiSession } from './scsi-session.ts';

/** Whether the logical unit is the one it was; rejects when that cannot be found out. */
export type IdentityCheck = (session: ScsiSession) => Promise<boolean>;

/** How often a check is repeated because the logical unit has changed meanwhile. */
const repetitionLimit = 4;

/** Checks a logical unit until it has kept still during a check. One check at a time: a new one makes the last one's verdict unheard. */
export class IdentityChecks {
  readonly #check: IdentityCheck;
  readonly #session: ScsiSession;
  #run = 0;
  #hasChanged = false;

  constructor(check: IdentityCheck, session: ScsiSession) {
    this.#check = check;
    this.#session = session;
  }

  /** Tells `done` the verdict, or a message when there is none. Never throws. */
  begin(done: (same: boolean | undefined, message: string) => void): void {
    const run = ++this.#run;
    void this.#untilStill(run).then(
      (same) => {
        if (run === this.#run)
          done(same, 'the logical unit changes faster than it can be looked at');
      },
      (error: unknown) => {
        if (run === this.#run)
          done(undefined, error instanceof Error ? error.message : String(error));
      },
    );
  }

  /** The logical unit says that it has changed: a check that is under way may have seen what it was. */
  noteChange(): void {
    this.#hasChanged = true;
  }

  /** undefined: it does not keep still. */
  async #untilStill(run: number): Promise<boolean | undefined> {
    for (let repetition = 0; repetition <= repetitionLimit && run === this.#run; repetition++) {
      this.#hasChanged = false;
      const same = await this.#check(this.#session);
      if (!same || !this.#isOutdated()) return same;
    }
    return undefined;
  }

  #isOutdated(): boolean {
    return this.#hasChanged;
  }
}
