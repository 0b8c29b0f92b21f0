import { BlockError } from '../block/request-table.ts';
import { NbdError } from './constants.ts';

/**
 * Why a request is answered with an error, as a small number: the data path passes it on and makes no objects. The tables
 * give the error number (proto.md: Error values) and the text for structured replies.
 */
export const Refusal = {
  none: 0,
  unknownCommand: 1,
  inapplicableFlag: 2,
  unaligned: 3,
  pastEnd: 4,
  pastEndWrite: 5,
  readOnly: 6,
  payloadTooLong: 7,
  nonZeroFlush: 8,
  noContext: 9,
  emptyStatus: 10,
  slowZeroes: 11,
  trimNotOffered: 12,
  deviceFailed: 13,
  deviceNotPermitted: 14,
  deviceInvalid: 15,
  deviceNoSpace: 16,
  deviceNotSupported: 17,
  shuttingDown: 18,
} as const;
export type Refusal = (typeof Refusal)[keyof typeof Refusal];

const meaning: Readonly<Record<Refusal, readonly [error: number, text: string]>> = {
  [Refusal.none]: [NbdError.none, ''],
  [Refusal.unknownCommand]: [NbdError.invalid, 'unknown command'],
  [Refusal.inapplicableFlag]: [NbdError.invalid, 'command flag not applicable'],
  [Refusal.unaligned]: [NbdError.invalid, 'not a multiple of the block size'],
  [Refusal.pastEnd]: [NbdError.invalid, 'past the end of the device'],
  [Refusal.pastEndWrite]: [NbdError.noSpace, 'past the end of the device'],
  [Refusal.readOnly]: [NbdError.notPermitted, 'device is read-only'],
  [Refusal.payloadTooLong]: [NbdError.invalid, 'payload above the maximum'],
  [Refusal.nonZeroFlush]: [NbdError.invalid, 'flush with offset or length'],
  [Refusal.noContext]: [NbdError.invalid, 'no metadata context selected'],
  [Refusal.emptyStatus]: [NbdError.invalid, 'block status of nothing'],
  [Refusal.slowZeroes]: [NbdError.notSupported, 'zeroes would not be fast'],
  [Refusal.trimNotOffered]: [NbdError.invalid, 'trim is not offered'],
  [Refusal.deviceFailed]: [NbdError.io, 'device failed'],
  [Refusal.deviceNotPermitted]: [NbdError.notPermitted, 'device is write protected'],
  [Refusal.deviceInvalid]: [NbdError.invalid, 'device refused the request'],
  [Refusal.deviceNoSpace]: [NbdError.noSpace, 'no space left on the device'],
  [Refusal.deviceNotSupported]: [NbdError.notSupported, 'device cannot do this'],
  [Refusal.shuttingDown]: [NbdError.shutdown, 'server is shutting down'],
};

/** By Refusal: `past-end`, `device-failed`. Logs, metrics and tests share these words. */
export const refusalNames: readonly string[] = Object.keys(Refusal).map((name) =>
  name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`),
);

const encoder = new TextEncoder();
const refusals = Object.values(Refusal);

/** NBD error number by Refusal. */
export const refusalError: readonly number[] = refusals.map((refusal) => meaning[refusal][0]);
/** UTF-8 text by Refusal; together with an error chunk's fixed part it fits a reply slot. */
export const refusalText: readonly Uint8Array[] = refusals.map((refusal) =>
  encoder.encode(meaning[refusal][1]),
);

const blockErrorRefusal: readonly (readonly [BlockError, Refusal])[] = [
  [BlockError.none, Refusal.none],
  [BlockError.ioError, Refusal.deviceFailed],
  [BlockError.notPermitted, Refusal.deviceNotPermitted],
  [BlockError.invalid, Refusal.deviceInvalid],
  [BlockError.noSpace, Refusal.deviceNoSpace],
  [BlockError.notSupported, Refusal.deviceNotSupported],
  [BlockError.shuttingDown, Refusal.shuttingDown],
];

/** Refusal by what a request's error column may hold; unknown numbers are a device's failure. */
const refusalByBlockError = new Uint8Array(256).fill(Refusal.deviceFailed);
for (const [error, refusal] of blockErrorRefusal) refusalByBlockError[error] = refusal;

export function refusalOfBlockError(error: number): Refusal {
  return refusalByBlockError[error] as Refusal;
}
