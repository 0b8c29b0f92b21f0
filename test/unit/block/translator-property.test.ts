/** Random requests, limits, orders of completion and faults, against a plain array of bytes. */
import { expect } from 'chai';
import fc from 'fast-check';
import { BlockError, BlockFlag, BlockOperation } from '../../../src/block/request-table.ts';
import { BlockFixture } from '../../helpers/block-fixture.ts';
import { checkCondition, statusOnly } from '../../helpers/ram-logical-unit.ts';

const { read, write, flush, trim, writeZeroes } = BlockOperation;

/** The device is cut into regions; requests of one batch are in different ones, so that their order does not matter. */
const regions = 6;
const regionBlocks = 64;

const operation = fc.record({
  kind: fc.constantFrom(read, write, flush, trim, writeZeroes),
  start: fc.nat(regionBlocks - 1),
  blocks: fc.integer({ min: 1, max: regionBlocks }),
  flags: fc.constantFrom(0, BlockFlag.forceUnitAccess, BlockFlag.noHole),
  seed: fc.nat(255),
});

const unitOptions = fc.record({
  blockLength: fc.constantFrom(512, 4096),
  thin: fc.boolean(),
  lbprz: fc.boolean(),
  dpoFua: fc.boolean(),
  ndob: fc.boolean(),
  maximumTransferBlocks: fc.integer({ min: 1, max: 80 }),
  granularityBlocks: fc.nat(9),
  maximumUnmapBlocks: fc.integer({ min: 1, max: 80 }),
  unmapGranularityBlocks: fc.nat(9),
  unmapAlignmentBlocks: fc.nat(9),
  maximumWriteSameBlocks: fc.integer({ min: 1, max: 80 }),
  lacks: fc.subarray([0x93, 0x42, 0x91, 0xa3]),
});

const scenario = fc.record({
  unit: unitOptions,
  taskCapacity: fc.integer({ min: 1, max: 12 }),
  window: fc.integer({ min: 1, max: 5 }),
  maxTransferBlocks: fc.integer({ min: 1, max: 80 }),
  zeroBlocks: fc.integer({ min: 1, max: 4 }),
  batches: fc.array(fc.array(operation, { minLength: 1, maxLength: regions }), {
    minLength: 1,
    maxLength: 5,
  }),
  picks: fc.infiniteStream(fc.nat(1000)),
});

type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

interface Expected {
  readonly kind: number;
  readonly offset: number;
  readonly length: number;
  readonly buffer: number;
}

function fill(bytes: Uint8Array, offset: number, length: number, seed: number): void {
  for (let i = 0; i < length; i++) bytes[offset + i] = (i * 31 + seed + (i >> 8)) & 0xff;
}

async function fixtureOf(run: Scenario): Promise<BlockFixture> {
  const { blockLength } = run.unit;
  return BlockFixture.create(
    { ...run.unit, blocks: regions * regionBlocks, writeCache: false },
    {
      taskCapacity: run.taskCapacity,
      window: run.window,
      maxTransferLength: run.maxTransferBlocks * blockLength,
      zeroLength: run.zeroBlocks * blockLength,
    },
  );
}

/** Submits one batch; what each request should do, by request slot. */
function submitBatch(
  fixture: BlockFixture,
  batch: Scenario['batches'][number],
  block: number,
): Map<number, Expected> {
  const expected = new Map<number, Expected>();
  const regionLength = regionBlocks * block;
  for (const [region, { kind, start, blocks, flags, seed }] of batch.entries()) {
    const offset = region * regionLength + start * block;
    const length = kind === flush ? 0 : Math.min(blocks, regionBlocks - start) * block;
    const buffer = region * regionLength;
    fill(fixture.arena.bytes, buffer, length, seed);
    const request = fixture.submit(kind, kind === flush ? 0 : offset, length, flags, buffer);
    expected.set(request, { kind, offset, length, buffer });
  }
  return expected;
}

/** Brings the oracle up to date; after a failed or a trimming request the range holds whatever it holds. */
function applyToOracle(
  oracle: Uint8Array,
  fixture: BlockFixture,
  { kind, offset, length, buffer }: Expected,
  error: number,
): void {
  const end = offset + length;
  if (kind === trim || (error !== 0 && kind !== read)) {
    oracle.set(fixture.unit.content.subarray(offset, end), offset);
  } else if (kind === write) {
    oracle.set(fixture.arena.bytes.subarray(buffer, buffer + length), offset);
  } else if (kind === writeZeroes) {
    oracle.fill(0, offset, end);
  } else if (kind === read && error === 0) {
    const seen = Buffer.from(fixture.arena.bytes.subarray(buffer, buffer + length));
    expect(seen.equals(oracle.subarray(offset, end)), 'what a read returns').to.equal(true);
  }
}

function checkRest(fixture: BlockFixture, oracle: Uint8Array): void {
  expect(Buffer.from(fixture.unit.content).equals(oracle), 'the whole device').to.equal(true);
  expect(fixture.session.tasks.inUse).to.equal(0);
  expect(fixture.device.inFlight).to.equal(0);
  expect(fixture.requests.inFlight).to.equal(0);
}

describe('the translator against a plain array of bytes', function () {
  this.timeout(60_000);

  it('does what was asked for, through any splits, orders and transient faults', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (run) => {
        const fixture = await fixtureOf(run);
        const oracle = fixture.unit.content.slice();
        const picks = run.picks[Symbol.iterator]();
        const next = () => picks.next().value as number;
        const transient = [
          statusOnly(0x08),
          statusOnly(0x28),
          statusOnly(0x40),
          checkCondition(6, 0x2900),
        ];
        let faultsInARow = 0;
        fixture.unit.fault = () => {
          const choice = next() % 16;
          faultsInARow = choice < transient.length ? faultsInARow + 1 : 0;
          return faultsInARow < 8 ? transient[choice] : undefined;
        };
        for (const batch of run.batches) {
          fixture.finished.length = 0;
          const expected = submitBatch(fixture, batch, run.unit.blockLength);
          fixture.settle((count) => next() % count);
          expect(fixture.finished).to.have.length(expected.size);
          for (const { request, error } of fixture.finished) {
            const what = expected.get(request);
            if (what === undefined) throw new Error('an unknown request has ended');
            expect(error).to.equal(BlockError.none);
            applyToOracle(oracle, fixture, what, error);
          }
          checkRest(fixture, oracle);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('reports an error exactly for the requests that had one, and touches nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (run) => {
        const fixture = await fixtureOf(run);
        const oracle = fixture.unit.content.slice();
        const picks = run.picks[Symbol.iterator]();
        const next = () => picks.next().value as number;
        const block = run.unit.blockLength;
        const broken = new Set<number>();
        fixture.unit.fault = (cdb) => {
          if ((cdb[0] !== 0x88 && cdb[0] !== 0x8a) || next() % 5 !== 0) return undefined;
          const lba = Number(new DataView(cdb.buffer, cdb.byteOffset).getBigUint64(2));
          broken.add(Math.floor(lba / regionBlocks));
          return checkCondition(3, cdb[0] === 0x88 ? 0x1100 : 0x0c00);
        };
        for (const batch of run.batches) {
          fixture.finished.length = 0;
          broken.clear();
          const expected = submitBatch(fixture, batch, block);
          fixture.settle((count) => next() % count);
          expect(fixture.finished).to.have.length(expected.size);
          for (const { request, error } of fixture.finished) {
            const what = expected.get(request);
            if (what === undefined) throw new Error('an unknown request has ended');
            const region = Math.floor(what.offset / (regionBlocks * block));
            const failed = what.kind !== flush && broken.has(region);
            expect(error).to.equal(failed ? BlockError.ioError : BlockError.none);
            applyToOracle(oracle, fixture, what, error);
          }
          checkRest(fixture, oracle);
        }
      }),
      { numRuns: 150 },
    );
  });
});
