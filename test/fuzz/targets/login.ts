/** The login engine: any sequence of answers, with and without CHAP, must end in a step that it knows. */
import { chapResponse } from '../../../src/iscsi/chap.ts';
import { LoginEngine, LoginFailure } from '../../../src/iscsi/login.ts';
import type { LoginOptions, LoginStep } from '../../../src/iscsi/login.ts';
import { formatBinary } from '../../../src/iscsi/values.ts';
import { keyText, politeKeys } from '../../helpers/scripted-pdu.ts';
import { loginTemplate } from '../../helpers/session-fixture.ts';
import { expectPrintable, frame, type FuzzTarget, unframe } from '../fuzz-target.ts';
import { mutate } from '../mutate.ts';

const secret = new TextEncoder().encode('a secret of 16 b');
const mutualSecret = new TextEncoder().encode('another secret!!');
const failures: ReadonlySet<string> = new Set(Object.values(LoginFailure));
/** What our side challenges the target with: loginTemplate's random bytes. */
const ownChallenge = new Uint8Array(16).fill(5);
const md5 = 5;

const modes: readonly Partial<LoginOptions>[] = [
  {},
  { rdma: true, receiveDataSegmentLength: 8192 },
  { chap: { user: 'u', secret } },
  {
    chap: { user: 'u', secret },
    mutualChap: { user: 't', secret: mutualSecret },
    chapAlgorithms: [md5],
  },
  { rdma: true, offer: 'required-only' },
  { headerDigest: 'prefer-crc32c', dataDigest: 'crc32c' },
];

/** flags, status class, status detail, text. */
function answer(flags: number, pairs: readonly string[], statusClass = 0, detail = 0): Uint8Array {
  return Uint8Array.from(
    Buffer.concat([Uint8Array.of(flags, statusClass, detail), keyText(pairs)]),
  );
}

function sample(mode: number, ...answers: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.of(mode, ...frame(...answers));
}

const toFullFeature = 0x87;
const inOperational = 0x04;
const inSecurity = 0x00;
const toOperational = 0x81;
const continued = 0x40;

const challenge = ['CHAP_A=5', 'CHAP_I=9', 'CHAP_C=0x000102030405060708090a0b0c0d0e0f'];
const proof = [
  'CHAP_N=t',
  `CHAP_R=${formatBinary(chapResponse(md5, 5, mutualSecret, ownChallenge))}`,
];

const samples: readonly Uint8Array[] = [
  sample(0, answer(toFullFeature, politeKeys(false))),
  sample(1, answer(toFullFeature, politeKeys(true))),
  sample(
    2,
    answer(inSecurity, ['AuthMethod=CHAP']),
    answer(inSecurity, challenge),
    answer(toOperational, []),
    answer(toFullFeature, politeKeys(false)),
  ),
  sample(
    3,
    answer(inSecurity, ['AuthMethod=CHAP']),
    answer(inSecurity, challenge),
    answer(toOperational, proof),
    answer(toFullFeature, politeKeys(false)),
  ),
  sample(
    4,
    answer(inOperational, ['InitialR2T=No', 'MaxBurstLength=1024', 'OFMarker=Yes']),
    answer(toFullFeature, politeKeys(true).slice(-3)),
  ),
  sample(
    5,
    answer(inOperational | continued, ['HeaderDigest=CRC32C']),
    answer(toFullFeature, ['DataDigest=CRC32C']),
  ),
  sample(0, answer(0, [], 2, 1)),
  sample(0, answer(0, ['TargetAddress=[2001:db8::1]:3261'], 1, 2)),
];

function optionsOf(mode: number): LoginOptions {
  return {
    ...loginTemplate,
    rdma: false,
    receiveDataSegmentLength: 262_144,
    ...modes[mode % modes.length],
  };
}

function check(step: LoginStep): void {
  switch (step.kind) {
    case 'send':
      if (step.request.text.length > 8192) throw new Error('login text longer than a PDU may be');
      return;
    case 'complete': {
      const { parameters } = step.result;
      for (const [name, value] of Object.entries(parameters)) {
        if (typeof value === 'number' && !(value >= 0 && value <= 0xffffff)) {
          throw new Error(`${name} is ${value}`);
        }
      }
      if (parameters.firstBurstLength > parameters.maxBurstLength) {
        throw new Error('FirstBurstLength above MaxBurstLength');
      }
      return;
    }
    case 'redirect':
      expectPrintable(step.address);
      return;
    case 'fail':
      if (!failures.has(step.failure)) throw new Error(`failure ${step.failure}`);
      expectPrintable(step.message);
  }
}

export const loginEngine: FuzzTarget = {
  name: 'login-engine',
  generate: (random) => mutate(random, samples),
  run(input) {
    const engine = new LoginEngine(optionsOf(input.at(0) ?? 0));
    engine.start();
    engine.provisionalParameters();
    for (const message of unframe(input.subarray(1))) {
      const [flags = 0, statusClass = 0, statusDetail = 0] = message;
      const step = engine.receive({
        transit: (flags & 0x80) !== 0,
        continued: (flags & continued) !== 0,
        csg: (flags >> 2) & 3,
        nsg: flags & 3,
        tsih: 1,
        statusClass,
        statusDetail,
        text: message.slice(3),
      });
      check(step);
      if (step.kind !== 'send') return;
    }
  },
};
