/**
 * Command numbering of one session with one connection (RFC 7143 §4.2.2): CmdSN of the next command, the window that the
 * target has opened, and ExpStatSN, which acknowledges the target's statuses.
 */
import { serialAdd, serialLess, serialLessOrEqual } from '../wire/serial-number.ts';

export class CommandWindow {
  #cmdSn = 0;
  #expCmdSn = 0;
  #maxCmdSn = 0;
  #expStatSn = 0;
  #statSnJumps = 0;

  /** CmdSN of the next non-immediate command; immediate ones carry it without consuming it (§4.2.2.1). */
  get cmdSn(): number {
    return this.#cmdSn;
  }

  get expCmdSn(): number {
    return this.#expCmdSn;
  }

  get maxCmdSn(): number {
    return this.#maxCmdSn;
  }

  get expStatSn(): number {
    return this.#expStatSn;
  }

  /** Statuses whose StatSN was not the expected one: harmless on an ordered connection, but worth knowing. */
  get statSnJumps(): number {
    return this.#statSnJumps;
  }

  /** A new session: until the target says otherwise exactly one command may be sent. */
  reset(firstCmdSn: number): void {
    this.#cmdSn = firstCmdSn >>> 0;
    this.#expCmdSn = this.#cmdSn;
    this.#maxCmdSn = this.#cmdSn;
    this.#expStatSn = 0;
  }

  /**
   * Whether a non-immediate command may be sent. Compared with MaxCmdSN only: a target may report ExpCmdSN = CmdSN + 1 in its
   * last login response and still mean a window of one.
   */
  get isOpen(): boolean {
    return serialLessOrEqual(this.#cmdSn, this.#maxCmdSn);
  }

  /** Takes the next CmdSN. Only at the moment of posting: a number once taken must reach the target (§4.2.2.1). */
  take(): number {
    const taken = this.#cmdSn;
    this.#cmdSn = serialAdd(taken, 1);
    return taken;
  }

  /**
   * Applies ExpCmdSN and MaxCmdSN of any PDU. Both are dropped when MaxCmdSN < ExpCmdSN - 1 (§4.2.2.1); each only moves forward;
   * an ExpCmdSN beyond what was sent is the target's mistake and is ignored.
   */
  update(expCmdSn: number, maxCmdSn: number): void {
    if (serialLess(maxCmdSn, serialAdd(expCmdSn, -1))) return;
    if (serialLess(this.#maxCmdSn, maxCmdSn)) this.#maxCmdSn = maxCmdSn;
    if (serialLess(this.#expCmdSn, expCmdSn) && serialLessOrEqual(expCmdSn, this.#cmdSn)) {
      this.#expCmdSn = expCmdSn;
    }
  }

  /** The first StatSN of a connection is the target's choice. */
  startStatus(statSn: number): void {
    this.#expStatSn = serialAdd(statSn, 1);
  }

  /** A PDU that consumes a StatSN has come (all but NOP-In with ITT 0xffffffff, R2T and Data-In without status). */
  acknowledge(statSn: number): void {
    if (statSn !== this.#expStatSn) this.#statSnJumps++;
    if (serialLessOrEqual(this.#expStatSn, statSn)) this.#expStatSn = serialAdd(statSn, 1);
  }
}
