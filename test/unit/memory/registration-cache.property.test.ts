import { expect } from 'chai';
import fc from 'fast-check';
import { notRegistered, RegistrationAccess } from '../../../src/memory/registration.ts';
import { RegistrationCache } from '../../../src/memory/registration-cache.ts';
import { RegistrarDouble } from './registrar-double.ts';
import type { DoubleRegion } from './registrar-double.ts';

const arenaOffset = 300;
const arenaBytes = 4000;
const longest = 400;
const capacity = 10;

interface ModelRegion extends DoubleRegion {
  references: number;
  doomed: boolean;
}

interface Held {
  readonly registration: number;
  readonly region: ModelRegion;
}

/**
 * The cache next to the simplest thing that could be right: a list of regions with reference counts. The list follows the
 * registrar's calls, and checks each of them and each answer of the cache.
 */
class CacheWithModel {
  readonly registrar = new RegistrarDouble();
  readonly cache: RegistrationCache;
  readonly held: Held[] = [];
  #regions: ModelRegion[] = [];
  #maxBytes: number;
  #maxEntries: number;
  readonly #grantAccess: number;

  constructor(granuleBytes: number, grantAccess: number, maxBytes: number, maxEntries: number) {
    this.#maxBytes = maxBytes;
    this.#maxEntries = maxEntries;
    this.#grantAccess = grantAccess;
    this.cache = new RegistrationCache({
      registrar: this.registrar,
      arena: { offset: arenaOffset, sizeBytes: arenaBytes },
      limits: { maxBytes, maxEntries },
      capacity,
      granuleBytes,
      grantAccess,
      nowMicroseconds: this.registrar.now,
    });
    this.registrar.onDeregister = (region) => {
      const model = this.#regions.find((each) => each.id === region.id);
      expect(model?.references, 'deregistered while in use').to.equal(0);
      this.#regions = this.#regions.filter((each) => each !== model);
    };
  }

  acquire(offset: number, length: number, asked: number): void {
    const access = asked & RegistrationAccess.remoteWrite ? asked | 1 : asked;
    const findable = this.#regions.filter((region) => !region.doomed);
    const superset = findable.find((region) => this.#covers(region, offset, length, access));
    const { hits } = this.cache.statistics;
    const known = new Set(this.#regions.map((region) => region.id));
    const registration = this.cache.acquire(offset, length, asked);
    expect(this.cache.statistics.hits - hits, 'hit exactly when a superset exists').to.equal(
      superset === undefined ? 0 : 1,
    );
    this.#adopt(known);
    if (registration === notRegistered) {
      this.#checkRefusal(length);
      return;
    }
    const rkey = this.cache.rkey(registration);
    const region = this.#regions.find((each) => each.rkey === rkey);
    if (region === undefined) throw new Error('rkey of no live region');
    expect(region.doomed, 'doomed regions are never given out').to.equal(false);
    expect(this.#covers(region, offset, length, access)).to.equal(true);
    expect(this.cache.lkey(registration)).to.equal(region.lkey);
    region.references += 1;
    this.held.push({ registration, region });
  }

  release(index: number): void {
    if (this.held.length === 0) return;
    const [held] = this.held.splice(index % this.held.length, 1);
    held.region.references -= 1;
    const { doomed, references, id } = held.region;
    this.cache.release(held.registration);
    if (doomed && references === 0) expect(this.registrar.live.has(id)).to.equal(false);
    if (references > 0) expect(this.registrar.live.has(id)).to.equal(true);
  }

  invalidate(offset: number, length: number): void {
    const hit = (region: ModelRegion) =>
      region.offset < offset + length && offset < region.offset + region.length;
    for (const region of this.#regions) if (hit(region)) region.doomed = true;
    this.cache.invalidate(offset, length);
    for (const region of this.#regions) {
      if (region.doomed)
        expect(region.references, 'invalid idle regions go at once').to.not.equal(0);
    }
  }

  setLimits(maxBytes: number, maxEntries: number): void {
    this.#maxBytes = maxBytes;
    this.#maxEntries = maxEntries;
    this.cache.setLimits({ maxBytes, maxEntries });
  }

  check(): void {
    const { entries, pinnedBytes } = this.cache.statistics;
    expect(entries).to.equal(this.registrar.live.size);
    expect(pinnedBytes).to.equal(this.registrar.pinnedBytes);
    expect(this.#regions.length).to.equal(entries);
    for (const region of this.#regions) {
      if (region.doomed) expect(region.references, 'doomed regions are in use').to.not.equal(0);
    }
    const idle = this.#regions.some((region) => region.references === 0);
    if (idle) {
      expect(entries, 'entries within limits unless in use').to.be.at.most(this.#maxEntries);
      expect(pinnedBytes, 'bytes within limits unless in use').to.be.at.most(this.#maxBytes);
    }
  }

  finish(): void {
    while (this.held.length > 0) this.release(0);
    this.check();
    this.cache.close();
    expect(this.registrar.live.size).to.equal(0);
  }

  #covers(region: DoubleRegion, offset: number, length: number, access: number): boolean {
    return (
      region.offset <= offset &&
      region.offset + region.length >= offset + length &&
      (region.access & access) === access
    );
  }

  /** The region that was just registered supersedes those within it. */
  #adopt(known: ReadonlySet<number>): void {
    for (const region of this.registrar.live.values()) {
      if (known.has(region.id)) continue;
      expect(region.access & this.#grantAccess).to.equal(this.#grantAccess);
      expect(region.offset).to.be.at.least(arenaOffset);
      expect(region.offset + region.length).to.be.at.most(arenaOffset + arenaBytes);
      for (const other of this.#regions) {
        if (this.#covers(region, other.offset, other.length, other.access)) other.doomed = true;
      }
      this.#regions.push({ ...region, references: 0, doomed: false });
    }
  }

  /** A refusal is right only when what is in use leaves no room, or when the kernel refused with nothing idle left. */
  #checkRefusal(length: number): void {
    const inUse = this.#regions.filter((region) => region.references > 0);
    const bytesInUse = inUse.reduce((sum, region) => sum + region.length, 0);
    const full = bytesInUse + length > this.#maxBytes || inUse.length + 1 > this.#maxEntries;
    if (!full) {
      expect(this.registrar.log.at(-1)).to.match(/^refused/);
      expect(this.#regions.length, 'everything idle was given up').to.equal(inUse.length);
    }
  }
}

const position = fc.integer({ min: 0, max: arenaBytes - 1 });
const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: longest }));
const access = fc.integer({ min: 0, max: 7 });
const limits = {
  maxBytes: fc.integer({ min: longest, max: 2500 }),
  maxEntries: fc.integer({ min: 1, max: capacity }),
};
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('acquire' as const), position, length, access }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('release' as const), index: fc.nat(50) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('invalidate' as const), position, length }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('limits' as const), ...limits }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('refuse' as const), count: fc.nat(6) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('sweep' as const),
      age: fc.integer({ min: 1, max: 3 }),
    }),
  },
);
const story = fc.record({
  granuleBytes: fc.constantFrom(0, 64, 256, arenaBytes),
  grantAccess: fc.constantFrom(0, 0, 2, 7),
  ...limits,
  steps: fc.array(step, { maxLength: 100, size: 'max' }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function play(both: CacheWithModel, action: Step): void {
  switch (action.kind) {
    case 'acquire': {
      const offset = arenaOffset + action.position;
      const room = arenaOffset + arenaBytes - offset;
      both.acquire(offset, Math.min(action.length, room), action.access);
      break;
    }
    case 'release':
      both.release(action.index);
      break;
    case 'invalidate':
      both.invalidate(arenaOffset + action.position, action.length);
      break;
    case 'limits':
      both.setLimits(action.maxBytes, action.maxEntries);
      break;
    case 'refuse':
      both.registrar.failures = action.count;
      break;
    case 'sweep':
      both.cache.sweep(action.age);
      break;
  }
  both.check();
}

describe('registration cache: any sequence', () => {
  it('agrees with a plain list of regions', () => {
    fc.assert(
      fc.property(story, ({ granuleBytes, grantAccess, maxBytes, maxEntries, steps }) => {
        const both = new CacheWithModel(granuleBytes, grantAccess, maxBytes, maxEntries);
        for (const action of steps) play(both, action);
        both.finish();
      }),
      { numRuns: 200 },
    );
  });
});
