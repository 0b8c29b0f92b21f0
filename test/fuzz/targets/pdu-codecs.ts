/** The codecs of the PDUs by themselves, faster than through a session: nothing beyond header and data segment may be read. */
import {
  readAsyncMessage,
  readDataInStatus,
  readLoginResponse,
  readLogoutResponse,
  readNopIn,
  readReject,
  readScsiResponse,
  readTaskManagementResponse,
  readTextResponse,
  ScsiResponse,
} from '../../../src/iscsi/pdu/index.ts';
import { actionOf } from '../../../src/iscsi/async-events.ts';
import { checkControlHeader } from '../../../src/iser/header.ts';
import { expectEnumerated, type FuzzTarget } from '../fuzz-target.ts';
import { mutate } from '../mutate.ts';

type Codec = (view: DataView, bhs: number, data: number, length: number) => unknown;

function response(read: (into: ScsiResponse) => void): unknown {
  const into = new ScsiResponse();
  read(into);
  return Object.entries(into);
}

const codecs: readonly Codec[] = [
  (view, bhs, data, length) => {
    const message = readAsyncMessage(view, bhs, data, length);
    return [message, actionOf(message)];
  },
  readLoginResponse,
  (view, bhs) => readLogoutResponse(view, bhs),
  (view, bhs) => readNopIn(view, bhs),
  readReject,
  (view, bhs, data, length) =>
    response((into) => {
      readScsiResponse(view, bhs, data, length, into);
      if (into.senseOffset + into.senseLength > data + length && into.senseLength > 0) {
        throw new Error('sense beyond the data segment');
      }
    }),
  (view, bhs) =>
    response((into) => {
      // Data-In without status never comes to the session.
      view.setUint8(bhs + 1, view.getUint8(bhs + 1) | 1);
      readDataInStatus(view, bhs, into);
    }),
  (view, bhs) => readTaskManagementResponse(view, bhs),
  readTextResponse,
  (view, bhs) => {
    checkControlHeader(new Uint8Array(view.buffer), bhs);
    return 'control';
  },
];

const bhsLength = 48;
const at = 128;
const guards = [0x00, 0xff] as const;
const data = Uint8Array.of(0, 18, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0);
const samples = codecs.map((_, codec) => {
  const header = Uint8Array.from({ length: bhsLength }, (_unused, i) => (i * 37) & 0xff);
  header[1] = 0x87;
  header[3] = 0;
  return Uint8Array.from(Buffer.concat([Uint8Array.of(codec), header, data, header]));
});

export const pduCodecs: FuzzTarget = {
  name: 'pdu-codecs',
  generate: (random) => mutate(random, samples),
  run(input) {
    const codec = codecs[(input.at(0) ?? 0) % codecs.length];
    // A datamover gives a whole header at least.
    const pdu = new Uint8Array(Math.max(bhsLength, input.length - 1));
    pdu.set(input.subarray(1));
    const [one, other] = guards.map((guard) => {
      const arena = new Uint8Array(at + pdu.length + 512).fill(guard);
      arena.set(pdu, at);
      const view = new DataView(arena.buffer);
      try {
        const result = codec(view, at, at + bhsLength, pdu.length - bhsLength);
        return JSON.stringify(result, (_key, value: unknown) =>
          value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
        );
      } catch (error) {
        expectEnumerated(error);
        return String(error);
      }
    });
    if (one !== other) throw new Error(`read beyond the PDU: ${one} and ${other}`);
  },
};
