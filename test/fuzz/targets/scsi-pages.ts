/** Parameter data and sense data of a logical unit: what a target can make any command answer. */
import { identityName } from '../../../src/scsi/identity.ts';
import { parseInquiry } from '../../../src/scsi/inquiry.ts';
import { parseReadCapacity10, parseReadCapacity16 } from '../../../src/scsi/capacity.ts';
import {
  lbaStatusBlocks,
  lbaStatusCount,
  lbaStatusLba,
  lbaStatusProvisioning,
} from '../../../src/scsi/lba-status.ts';
import { parseReportLuns } from '../../../src/scsi/luns.ts';
import { parseModeSense10, parseModeSense6 } from '../../../src/scsi/mode.ts';
import { emptySense, formatSense, parseSense } from '../../../src/scsi/sense.ts';
import {
  hasTargetPortGroups,
  parseTargetPortGroups,
  targetPortGroupOf,
} from '../../../src/scsi/target-port-groups.ts';
import { parseSupportedOperation } from '../../../src/scsi/supported-operation.ts';
import {
  parseBlockLimits,
  parseDeviceIdentification,
  parseLogicalBlockProvisioning,
  parseRotationRate,
  parseSupportedPages,
  parseUnitSerialNumber,
} from '../../../src/scsi/vpd.ts';
import { expectEnumerated, expectPrintable, type FuzzTarget } from '../fuzz-target.ts';
import { mutate } from '../mutate.ts';

type Parser = (data: Uint8Array) => unknown;

function ascii(text: string): number[] {
  return [...Buffer.from(text, 'latin1')];
}

function parseLbaStatus(data: Uint8Array): unknown {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const count = lbaStatusCount(view, 0, data.length);
  return Array.from({ length: count }, (_, index) => [
    lbaStatusLba(view, 0, index),
    lbaStatusBlocks(view, 0, index),
    lbaStatusProvisioning(view, 0, index),
  ]);
}

function parseSenseData(data: Uint8Array): unknown {
  const sense = emptySense();
  const known = parseSense(data, 0, data.length, sense);
  return { known, ...sense, text: formatSense(sense) };
}

/** Everything that says which path this is. */
function parsePath(data: Uint8Array): unknown {
  return [hasTargetPortGroups(data), targetPortGroupOf(parseDeviceIdentification(data))];
}

function nameOf(data: Uint8Array): string {
  const inquiry = parseInquiry(Uint8Array.from(inquirySample));
  return identityName(parseDeviceIdentification(data), '', inquiry);
}

const inquirySample = [0, 0, 5, 2, 31, 0, 0, 0, ...ascii('VENDOR  PRODUCT         0001')];
const naa = [1, 3, 0, 16, 0x60, 1, 0x40, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const t10 = [2, 1, 0, 12, ...ascii('VENDOR  ABCD')];
const scsiName = [3, 0x38, 0, 20, ...ascii('iqn.2026-11.a:disk,t')];
const designators = [...naa, ...t10, ...scsiName];
const cachingPage = [0x08, 0x12, 4, ...new Array<number>(17).fill(0)];
const controlPage = [0x4a, 0x01, 0, 4, 1, 2, 3, 4];

/** Parser by number, with data that is right. */
const parsers: readonly (readonly [Parser, readonly (readonly number[])[]])[] = [
  [parseInquiry, [inquirySample]],
  [
    parseTargetPortGroups,
    [
      [
        0, 0, 0, 28, 0x80, 0x8f, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 0, 2, 0, 0, 0, 1,
        0, 0, 0, 3,
      ],
    ],
  ],
  [parsePath, [[0, 0x83, 0, 16, 1, 0x15, 0, 4, 0, 0, 0, 7, 1, 0x14, 0, 4, 0, 0, 0, 1]]],
  [parseSupportedPages, [[0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2]]],
  [parseUnitSerialNumber, [[0, 0x80, 0, 8, ...ascii('SERIAL01')]]],
  [parseDeviceIdentification, [[0, 0x83, 0, designators.length, ...designators]]],
  [nameOf, [[0, 0x83, 0, designators.length, ...designators]]],
  [parseBlockLimits, [[0, 0xb0, 0, 60, ...Array.from({ length: 60 }, (_, i) => i)]]],
  [parseRotationRate, [[0, 0xb1, 0, 60, 0x1c, 0x20, ...new Array<number>(58).fill(0)]]],
  [parseLogicalBlockProvisioning, [[0, 0xb2, 0, 4, 0, 0xe4, 2, 0]]],
  [
    parseModeSense6,
    [
      [23, 0, 0x90, 0, ...cachingPage],
      [35, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0, ...controlPage, ...cachingPage],
    ],
  ],
  [
    parseModeSense10,
    [
      [0, 26, 0, 0x90, 0, 0, 0, 0, ...cachingPage],
      [0, 34, 0, 0, 0, 0, 0, 0, ...controlPage, ...cachingPage],
    ],
  ],
  [
    parseReadCapacity10,
    [
      [0, 0, 0xff, 0xff, 0, 0, 2, 0],
      [0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0],
    ],
  ],
  [
    parseReadCapacity16,
    [[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 3, 0xc0, 0, ...new Array<number>(16).fill(0)]],
  ],
  [parseReportLuns, [[0, 0, 0, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 2, 0, 0, 0, 0, 0, 0]]],
  [parseSupportedOperation, [[0, 3, 0, 10, 0x42, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 7]]],
  [
    parseLbaStatus,
    [
      [
        0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 8, 0, 0, 0, 9, 0, 0, 0, 0,
      ],
    ],
  ],
  [
    parseSenseData,
    [
      [0xf0, 0, 3, 0, 0, 0, 9, 10, 0, 0, 0, 0, 0x11, 4, 0, 0, 0, 0],
      [
        0x72, 6, 0x2a, 9, 0, 0, 0, 24, 2, 6, 0, 0, 1, 2, 3, 0, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0,
        5, 1, 2,
      ],
      [0x71, 6, 0x29],
    ],
  ],
];

const samples = parsers.flatMap(([, data], parser) =>
  data.map((bytes) => Uint8Array.of(parser, ...bytes)),
);
/** Beyond the data, in two arenas: what a parser reads there makes a difference. */
const guards = [0x00, 0xff] as const;

export const scsiPages: FuzzTarget = {
  name: 'scsi-pages',
  generate: (random) => mutate(random, samples),
  run(input) {
    const [parse] = parsers[(input.at(0) ?? 0) % parsers.length];
    const [one, other] = guards.map((guard) => {
      const arena = new Uint8Array(input.length + 512).fill(guard);
      arena.set(input.subarray(1), 256);
      try {
        return describe(parse(arena.subarray(256, 256 + Math.max(0, input.length - 1))));
      } catch (error) {
        expectEnumerated(error);
        return String(error);
      }
    });
    if (one !== other) throw new Error(`read beyond the data: ${one} and ${other}`);
  },
};

/** As JSON; every text in it must be fit for a log. */
function describe(result: unknown): string {
  return JSON.stringify(result ?? null, (_key, value: unknown) => {
    if (typeof value === 'string') expectPrintable(value);
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    return Number.isNaN(value) ? 'NaN' : value;
  });
}
