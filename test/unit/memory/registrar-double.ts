import type { Registrar } from '../../../src/memory/registration.ts';
import { fakeNativeError } from '../../../src/reactor/fake-reactor.ts';

export interface DoubleRegion {
  readonly id: number;
  readonly lkey: number;
  readonly rkey: number;
  readonly offset: number;
  readonly length: number;
  readonly access: number;
}

/** A registrar that keeps a book, and refuses when told to. Every call takes 5 microseconds of its own clock. */
export class RegistrarDouble implements Registrar {
  readonly live = new Map<number, DoubleRegion>();
  readonly log: string[] = [];
  /** How many of the next calls fail with `failure`. */
  failures = 0;
  failure: Error = fakeNativeError('ENOMEM', 12, 'ibv_reg_mr');
  microseconds = 0;
  onDeregister: ((region: DoubleRegion) => void) | undefined;
  #next = 1;

  readonly now = (): number => this.microseconds;

  get pinnedBytes(): number {
    return [...this.live.values()].reduce((sum, region) => sum + region.length, 0);
  }

  ranges(): string[] {
    return [...this.live.values()].map((region) => `${region.offset}+${region.length}`);
  }

  register(offset: number, length: number, access: number): DoubleRegion {
    this.microseconds += 5;
    if (this.failures > 0) {
      this.failures -= 1;
      this.log.push(`refused ${offset}+${length}`);
      throw this.failure;
    }
    const id = this.#next++;
    const region = { id, lkey: id + 10_000, rkey: id + 20_000, offset, length, access };
    this.live.set(id, region);
    this.log.push(`register ${offset}+${length} access ${access}`);
    return region;
  }

  deregister(id: number): void {
    const region = this.live.get(id);
    if (region === undefined) throw new Error(`region ${id} deregistered twice`);
    this.onDeregister?.(region);
    this.live.delete(id);
    this.log.push(`deregister ${region.offset}+${region.length}`);
  }
}
