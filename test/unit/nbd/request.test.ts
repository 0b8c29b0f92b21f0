import { expect } from 'chai';
import type { BlockGeometry } from '../../../src/block/device.ts';
import { BlockError, BlockFlag } from '../../../src/block/request-table.ts';
import { Command, CommandFlag } from '../../../src/nbd/constants.ts';
import {
  Refusal,
  refusalError,
  refusalOfBlockError,
  refusalText,
} from '../../../src/nbd/refusal.ts';
import { blockFlags, RequestHeader, validateRequest } from '../../../src/nbd/request.ts';
import { replySlotLength } from '../../../src/nbd/reply-ring.ts';
import { request } from '../../helpers/nbd-client.ts';
import { diskGeometry } from '../../helpers/geometry.ts';

const size = 1024 * 1024;
const max = 32 * 1024 * 1024;
const eperm = 1;
const einval = 22;
const enospc = 28;
const enotsup = 95;

const geometry = diskGeometry(size, { knowsAllocation: true });

interface Case {
  readonly what: string;
  readonly command: number;
  readonly offset?: bigint | number;
  readonly length?: number;
  readonly flags?: number;
  readonly geometry?: Partial<BlockGeometry>;
  readonly structured?: boolean;
  readonly allocation?: boolean;
  readonly error: number;
}

const { read, write, flush, trim, cache, writeZeroes, blockStatus } = Command;
const { fua, noHole, df, reqOne, fastZero } = CommandFlag;

const cases: readonly Case[] = [
  { what: 'READ of the whole device', command: read, length: size, error: 0 },
  { what: 'READ past the end', command: read, offset: size, length: 512, error: einval },
  { what: 'READ across the end', command: read, offset: size - 512, length: 1024, error: einval },
  {
    what: 'READ whose offset and length wrap around 2^64',
    command: read,
    offset: 0xfffffffffffffe00n,
    length: 1024,
    error: einval,
  },
  {
    what: 'READ of the maximum on a large device',
    command: read,
    length: max,
    geometry: { sizeBytes: 2 ** 40 },
    error: 0,
  },
  {
    what: 'READ above the maximum',
    command: read,
    length: max + 512,
    geometry: { sizeBytes: 2 ** 40 },
    error: einval,
  },
  { what: 'READ of 4 GiB less one', command: read, length: 0xffffffff, error: einval },
  { what: 'READ at an odd offset', command: read, offset: 1, length: 512, error: einval },
  { what: 'READ of an odd length', command: read, length: 3, error: einval },
  {
    what: 'READ of half a 4 KiB block',
    command: read,
    length: 512,
    geometry: { logicalBlockLength: 4096 },
    error: einval,
  },
  { what: 'READ with FUA', command: read, length: 512, flags: fua, error: 0 },
  { what: 'READ with NO_HOLE', command: read, length: 512, flags: noHole, error: einval },
  { what: 'READ with DF', command: read, length: 512, flags: df, error: einval },
  {
    what: 'READ with DF when structured replies are agreed',
    command: read,
    length: 65536,
    flags: df,
    structured: true,
    error: 0,
  },
  { what: 'READ with an unknown flag', command: read, length: 512, flags: 1 << 15, error: einval },
  { what: 'empty READ', command: read, error: 0 },
  { what: 'empty READ at the end', command: read, offset: size, error: 0 },
  { what: 'WRITE', command: write, length: 512, error: 0 },
  { what: 'WRITE with FUA', command: write, length: 512, flags: fua, error: 0 },
  { what: 'WRITE with PAYLOAD_LEN', command: write, length: 512, flags: 32, error: einval },
  { what: 'WRITE past the end', command: write, offset: size, length: 512, error: enospc },
  {
    what: 'WRITE to a read-only device',
    command: write,
    length: 512,
    geometry: { readOnly: true },
    error: eperm,
  },
  {
    what: 'WRITE above the maximum',
    command: write,
    length: max + 512,
    geometry: { sizeBytes: 2 ** 40 },
    error: einval,
  },
  { what: 'WRITE at an odd offset', command: write, offset: 1, length: 512, error: einval },
  { what: 'FLUSH', command: flush, error: 0 },
  { what: 'FLUSH with FUA', command: flush, flags: fua, error: 0 },
  { what: 'FLUSH with an offset', command: flush, offset: 512, error: einval },
  { what: 'FLUSH with a length', command: flush, length: 512, error: einval },
  { what: 'TRIM', command: trim, length: size, error: 0 },
  {
    what: 'TRIM of 4 GiB less a block inside the device',
    command: trim,
    length: 0xfffffe00,
    geometry: { sizeBytes: 2 ** 40 },
    error: 0,
  },
  { what: 'TRIM past the end', command: trim, offset: size, length: 512, error: einval },
  {
    what: 'TRIM of a read-only device',
    command: trim,
    length: 512,
    geometry: { readOnly: true },
    error: eperm,
  },
  {
    what: 'TRIM of a device that cannot',
    command: trim,
    length: 512,
    geometry: { canTrim: false },
    error: einval,
  },
  { what: 'CACHE', command: cache, length: size, error: 0 },
  { what: 'CACHE with a flag', command: cache, length: 512, flags: reqOne, error: einval },
  {
    what: 'WRITE_ZEROES with all its flags',
    command: writeZeroes,
    length: size,
    flags: fua | noHole | fastZero,
    error: 0,
  },
  { what: 'WRITE_ZEROES past the end', command: writeZeroes, length: 2 * size, error: enospc },
  {
    what: 'WRITE_ZEROES on a read-only device',
    command: writeZeroes,
    length: 512,
    geometry: { readOnly: true },
    error: eperm,
  },
  {
    what: 'WRITE_ZEROES with FAST_ZERO when it is slow',
    command: writeZeroes,
    length: 512,
    flags: fastZero,
    geometry: { fastZeroes: false },
    error: enotsup,
  },
  {
    what: 'WRITE_ZEROES without FAST_ZERO when it is slow',
    command: writeZeroes,
    length: 512,
    geometry: { fastZeroes: false },
    error: 0,
  },
  {
    what: 'BLOCK_STATUS without a context',
    command: blockStatus,
    length: 512,
    structured: true,
    error: einval,
  },
  {
    what: 'BLOCK_STATUS with REQ_ONE',
    command: blockStatus,
    length: 512,
    flags: reqOne,
    structured: true,
    allocation: true,
    error: 0,
  },
  {
    what: 'BLOCK_STATUS of nothing',
    command: blockStatus,
    structured: true,
    allocation: true,
    error: einval,
  },
  {
    what: 'BLOCK_STATUS past the end',
    command: blockStatus,
    length: 2 * size,
    structured: true,
    allocation: true,
    error: einval,
  },
  { what: 'RESIZE', command: 8, length: 512, error: einval },
  { what: 'an unknown command', command: 0xffff, error: einval },
];

describe('NBD request', () => {
  for (const each of cases) {
    it(`${each.what} is ${each.error === 0 ? 'accepted' : `refused with ${each.error}`}`, () => {
      const header = new RequestHeader();
      const bytes = request(each);
      header.read(new DataView(bytes.buffer), 0);
      const refusal = validateRequest(
        header,
        { ...geometry, ...each.geometry },
        {
          structuredReplies: each.structured ?? false,
          allocationContext: each.allocation ?? false,
        },
        max,
      );
      expect(refusalError[refusal]).to.equal(each.error);
    });
  }

  it('is read from the wire field by field', () => {
    const header = new RequestHeader();
    const bytes = request({
      command: 0x1234,
      flags: 0x8001,
      cookie: 0xfedcba9876543210n,
      offset: 0x1_0203_0405n,
      length: 0xfffffffe,
    });
    header.read(new DataView(bytes.buffer), 0);
    expect(header).to.deep.include({
      command: 0x1234,
      flags: 0x8001,
      cookieHigh: 0xfedcba98,
      cookieLow: 0x76543210,
      offset: 0x1_0203_0405,
      length: 0xfffffffe,
      hasMagic: true,
    });
  });

  it('hands its flags on in the words of the block layer', () => {
    expect(blockFlags(fua | noHole | fastZero | reqOne | df)).to.equal(
      BlockFlag.forceUnitAccess | BlockFlag.noHole | BlockFlag.fastZero | BlockFlag.requestOne,
    );
    expect(blockFlags(0)).to.equal(0);
  });
});

describe('NBD errors', () => {
  const expected: [keyof typeof BlockError, number][] = [
    ['none', 0],
    ['ioError', 5],
    ['notPermitted', eperm],
    ['invalid', einval],
    ['noSpace', enospc],
    ['notSupported', enotsup],
    ['shuttingDown', 108],
  ];
  for (const [name, error] of expected) {
    it(`${name} becomes ${error}`, () => {
      expect(refusalError[refusalOfBlockError(BlockError[name])]).to.equal(error);
    });
  }

  it('an outcome that the block layer does not have becomes EIO', () => {
    expect(refusalOfBlockError(99)).to.equal(Refusal.deviceFailed);
  });

  it('have texts that fit a reply slot', () => {
    for (const text of refusalText) expect(26 + text.length).to.be.at.most(replySlotLength);
  });
});
