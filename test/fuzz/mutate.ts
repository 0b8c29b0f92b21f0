/** Structure-aware mutation: from samples that are right to inputs that lie. */
import type { SeededRandom } from './random.ts';

/** No input grows beyond this. */
export const maximumInputLength = 64 * 1024;

/** Values at which a length, an offset or a count goes wrong. */
const boundaries: readonly number[] = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 27, 28, 47, 48, 49, 63, 64, 75, 76, 77, 127, 128, 255, 256, 511, 512,
  4095, 4096, 8191, 8192, 8193, 32767, 32768, 65535, 65536, 0xffffff, 0x1000000, 0x7fffffff,
  0x80000000, 0xfffffe00, 0xfffffffe, 0xffffffff,
];

type Mutation = (
  bytes: Uint8Array,
  random: SeededRandom,
  samples: readonly Uint8Array[],
) => Uint8Array;

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** A range of at most `longest` bytes; the bytes are not empty. */
function range(bytes: Uint8Array, random: SeededRandom, longest: number): [number, number] {
  const start = random.below(bytes.length);
  const length = 1 + random.below(Math.min(longest, bytes.length - start));
  return [start, start + length];
}

/** Writes a big-endian number of 1 to 4 bytes: what a length field holds. */
function writeNumber(bytes: Uint8Array, at: number, width: number, value: number): Uint8Array {
  const changed = bytes.slice();
  for (let i = 0; i < width && at + i < changed.length; i++) {
    changed[at + i] = (value >>> (8 * (width - 1 - i))) & 0xff;
  }
  return changed;
}

const flipBit: Mutation = (bytes, random) => {
  const changed = bytes.slice();
  changed[random.below(bytes.length)] ^= 1 << random.below(8);
  return changed;
};

const setByte: Mutation = (bytes, random) =>
  writeNumber(bytes, random.below(bytes.length), 1, random.uint32());

const lieAboutNumber: Mutation = (bytes, random) => {
  const width = random.pick([1, 2, 3, 4]);
  return writeNumber(bytes, random.below(bytes.length), width, random.pick(boundaries));
};

/** A number a little off what it was: the off-by-one that a random number never finds. */
const nudgeNumber: Mutation = (bytes, random) => {
  const width = random.pick([1, 2, 4]);
  const at = random.below(bytes.length);
  let value = 0;
  for (let i = 0; i < width; i++) value = (value << 8) | (bytes[at + i] ?? 0);
  return writeNumber(bytes, at, width, value + random.pick([-4, -3, -2, -1, 1, 2, 3, 4]));
};

const truncate: Mutation = (bytes, random) => bytes.slice(0, random.below(bytes.length));

const remove: Mutation = (bytes, random) => {
  const [start, end] = range(bytes, random, 64);
  return concat(bytes.subarray(0, start), bytes.subarray(end));
};

const insert: Mutation = (bytes, random) => {
  const at = random.below(bytes.length + 1);
  const added = random.chance(2)
    ? random.bytes(1 + random.below(16))
    : new Uint8Array(1 + random.below(64)).fill(random.pick([0, 0x20, 0x30, 0x3d, 0x5b, 0xff]));
  return concat(bytes.subarray(0, at), added, bytes.subarray(at));
};

const repeat: Mutation = (bytes, random) => {
  const [start, end] = range(bytes, random, 256);
  const times = random.pick([1, 1, 2, 3, 16, 100]);
  const part = bytes.subarray(start, end);
  return concat(
    bytes.subarray(0, end),
    ...Array.from({ length: times }, () => part),
    bytes.subarray(end),
  );
};

const splice: Mutation = (bytes, random, samples) => {
  const other = random.pick(samples);
  if (other.length === 0) return bytes;
  const [start, end] = range(other, random, 512);
  const at = random.below(bytes.length + 1);
  const over = random.chance(2) ? end - start : 0;
  return concat(bytes.subarray(0, at), other.subarray(start, end), bytes.subarray(at + over));
};

const append: Mutation = (bytes, random, samples) => concat(bytes, random.pick(samples));

const noise: Mutation = (bytes, random) => {
  const [start, end] = range(bytes, random, 32);
  return concat(bytes.subarray(0, start), random.bytes(end - start), bytes.subarray(end));
};

const mutations: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  lieAboutNumber,
  lieAboutNumber,
  lieAboutNumber,
  nudgeNumber,
  nudgeNumber,
  truncate,
  remove,
  insert,
  repeat,
  splice,
  splice,
  append,
  noise,
];

/** One of the samples with 0 to 8 changes: now and then the sample itself, so that the deep end is reached. */
export function mutate(random: SeededRandom, samples: readonly Uint8Array[]): Uint8Array {
  let bytes = random.pick(samples);
  for (let changes = random.pick([0, 1, 1, 1, 2, 2, 3, 4, 8]); changes > 0; changes--) {
    if (bytes.length === 0) bytes = random.pick(samples);
    if (bytes.length === 0) return bytes;
    bytes = random.pick(mutations)(bytes, random, samples);
    if (bytes.length > maximumInputLength) bytes = bytes.slice(0, maximumInputLength);
  }
  return bytes;
}
