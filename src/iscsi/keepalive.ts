/**
 * Dead peer detection by NOP-Out (RFC 7143 §11.18). A reliable RDMA connection may never report a dead peer, so this
 * is what finds it. Decides only; the session sends and disconnects.
 */
export const KeepaliveAction = { none: 0, ping: 1, dead: 2 } as const;
export type KeepaliveAction = (typeof KeepaliveAction)[keyof typeof KeepaliveAction];

export class Keepalive {
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  #heardAtMs = 0;
  #pingedAtMs = 0;
  #pingOutstanding = false;
  #heard = false;
  /** Since when a ping is due that could not be sent; -1: none. */
  #dueSinceMs = -1;

  /** `intervalMs` 0 switches pings off. `timeoutMs`: silence after a ping that means death. */
  constructor(intervalMs: number, timeoutMs: number) {
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
  }

  get pingOutstanding(): boolean {
    return this.#pingOutstanding;
  }

  /** A connection has come up. */
  start(nowMs: number): void {
    this.#heardAtMs = nowMs;
    this.#pingOutstanding = false;
    this.#heard = false;
    this.#dueSinceMs = -1;
  }

  /** Something has come. Reads no clock: `check` dates it, so the times are as coarse as its calls. */
  onHeard(): void {
    this.#heard = true;
  }

  onPong(): void {
    this.#pingOutstanding = false;
  }

  onPingSent(nowMs: number): void {
    this.#pingOutstanding = true;
    this.#pingedAtMs = nowMs;
    this.#dueSinceMs = -1;
  }

  /**
   * What is due now. `ping` is given again until `onPingSent`, and at most one ping is outstanding. A target that takes nothing
   * leaves no room for a ping, either: silence for as long as a ping would have had is death.
   */
  check(nowMs: number): KeepaliveAction {
    if (this.#heard) {
      this.#heard = false;
      this.#heardAtMs = nowMs;
      this.#dueSinceMs = -1;
    }
    if (this.#intervalMs === 0) return KeepaliveAction.none;
    if (this.#pingOutstanding) {
      const silentSinceMs = Math.max(this.#pingedAtMs, this.#heardAtMs);
      return nowMs - silentSinceMs >= this.#timeoutMs ? KeepaliveAction.dead : KeepaliveAction.none;
    }
    if (nowMs - this.#heardAtMs < this.#intervalMs) return KeepaliveAction.none;
    if (this.#dueSinceMs < 0) this.#dueSinceMs = nowMs;
    return nowMs - this.#dueSinceMs >= this.#timeoutMs
      ? KeepaliveAction.dead
      : KeepaliveAction.ping;
  }
}
