import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { ConfigurationError } from '../../../src/errors.ts';
import { chapDigestLength, chapResponse, sameBytes } from '../../../src/iscsi/chap.ts';
import { LoginEngine, LoginFailure } from '../../../src/iscsi/login.ts';
import type { LoginOptions, LoginStep } from '../../../src/iscsi/login.ts';
import {
  answer,
  inSecurity,
  keysOf,
  mutualSecret,
  secret,
  sent,
  tcpOptions,
  toFullFeature,
  toOperational,
} from './login-target.ts';

const chap = { user: 'joe', secret };
const mutualChap = { user: 'disk', secret: mutualSecret };
const challenge = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

function hash(name: string, identifier: number, key: Uint8Array, question: Uint8Array): string {
  const bytes = Buffer.concat([Buffer.of(identifier), key, question]);
  return `0x${createHash(name).update(bytes).digest('hex')}`;
}

/** An engine that has got the target's challenge, and its answer to it. */
function challenged(
  options: Partial<LoginOptions> = {},
  keys: Record<string, string> = {},
): { engine: LoginEngine; step: LoginStep } {
  const engine = new LoginEngine({ ...tcpOptions, chap, ...options });
  engine.start();
  sent(engine.receive(answer({ AuthMethod: 'CHAP', TargetPortalGroupTag: '1' }, inSecurity)));
  const step = engine.receive(
    answer(
      { CHAP_A: '5', CHAP_I: '7', CHAP_C: `0x${challenge.toString('hex')}`, ...keys },
      inSecurity,
    ),
  );
  return { engine, step };
}

/** The target's answer to our challenge, which the injected random bytes make known. */
function targetAnswer(changes: Record<string, string> = {}): Record<string, string> {
  const ours = tcpOptions.randomBytes(16);
  return { CHAP_N: 'disk', CHAP_R: hash('md5', 1, mutualSecret, ours), ...changes };
}

describe('CHAP response', () => {
  for (const [algorithm, name, length] of [
    [5, 'md5', 16],
    [6, 'sha1', 20],
    [7, 'sha256', 32],
    [8, 'sha3-256', 32],
  ] as const) {
    it(`of algorithm ${algorithm} is the ${name} of identifier, secret and challenge`, () => {
      const response = chapResponse(algorithm, 200, secret, challenge);
      expect(`0x${Buffer.from(response).toString('hex')}`).to.equal(
        hash(name, 200, secret, challenge),
      );
      expect(response).to.have.length(length);
      expect(chapDigestLength(algorithm)).to.equal(length);
    });
  }

  it('agrees with a vector made by openssl', () => {
    // printf '\001secretchallenge' | openssl md5
    const text = (ascii: string) => new TextEncoder().encode(ascii);
    const response = chapResponse(5, 1, text('secret'), text('challenge'));
    expect(Buffer.from(response).toString('hex')).to.equal('46e47770030e2b4e26a0db72a7efec00');
  });

  it('is compared whole', () => {
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).to.equal(true);
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).to.equal(false);
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).to.equal(false);
  });

  it('of an unknown algorithm is a bug of ours', () => {
    expect(() => chapResponse(9, 0, secret, challenge)).to.throw('assertion failed');
  });
});

describe('login with CHAP', () => {
  it('offers nothing but CHAP, in the security stage', () => {
    const request = new LoginEngine({ ...tcpOptions, chap }).start();
    expect(request).to.include({ csg: 0, transit: false, nsg: 0, entersFullFeature: false });
    expect(keysOf(request)).to.deep.equal({
      InitiatorName: tcpOptions.initiatorName,
      TargetName: tcpOptions.targetName,
      SessionType: 'Normal',
      AuthMethod: 'CHAP',
    });
  });

  it('lists the algorithms without the number that tgt misunderstands', () => {
    const engine = new LoginEngine({ ...tcpOptions, chap });
    engine.start();
    const request = sent(engine.receive(answer({ AuthMethod: 'CHAP' }, inSecurity)));
    expect(keysOf(request)).to.deep.equal({ CHAP_A: '8,6,5' });
    expect(request.transit).to.equal(false);
  });

  it('goes from the challenge over the operational stage to the full feature phase', () => {
    const { engine, step } = challenged();
    const response = sent(step);
    expect(response).to.include({ csg: 0, nsg: 1, transit: true, entersFullFeature: false });
    expect(keysOf(response)).to.deep.equal({
      CHAP_N: 'joe',
      CHAP_R: hash('md5', 7, secret, challenge),
    });
    const offer = sent(engine.receive(answer({}, toOperational)));
    expect(offer).to.include({ csg: 1, nsg: 3, transit: true, entersFullFeature: true });
    expect(keysOf(offer)).to.include({ MaxBurstLength: '1048576' });
    expect(keysOf(offer)).to.not.have.any.keys('InitiatorName', 'AuthMethod');
    const end = engine.receive(answer({}, toFullFeature));
    if (end.kind !== 'complete') throw new Error(JSON.stringify(end));
    expect(end.result.keys.get('AuthMethod')).to.equal('CHAP');
    expect([...end.result.keys.keys()].join()).to.not.include('CHAP_');
    expect(end.result.targetPortalGroupTag).to.equal(1);
  });

  it('asks again for the transition when the target is not ready', () => {
    const { engine } = challenged();
    const again = sent(engine.receive(answer({}, inSecurity)));
    expect(again).to.include({ csg: 0, nsg: 1, transit: true });
    expect(again.text).to.have.length(0);
    expect(sent(engine.receive(answer({}, toOperational))).csg).to.equal(1);
  });

  it('answers unknown keys of the security stage', () => {
    const { step } = challenged({}, { Turbo: 'Yes' });
    expect(keysOf(sent(step))).to.include({ Turbo: 'NotUnderstood' });
  });

  it('takes a challenge of 1024 bytes in base64', () => {
    const long = Buffer.alloc(1024, 0xa5);
    const { step } = challenged(
      {},
      { CHAP_A: '8', CHAP_I: '0xff', CHAP_C: `0b${long.toString('base64')}` },
    );
    expect(keysOf(sent(step))['CHAP_R']).to.equal(hash('sha3-256', 255, secret, long));
  });

  const failures: [what: string, keys: Record<string, string>, failure: string, text: string][] = [
    ['an algorithm not offered', { CHAP_A: '7' }, 'protocol-error', 'chose 7'],
    ['no algorithm', { CHAP_A: 'Reject' }, 'negotiation-failed', 'takes none of 8,6,5'],
    ['an identifier above 255', { CHAP_I: '256' }, 'protocol-error', '0..255'],
    ['a challenge too long', { CHAP_C: `0x${'00'.repeat(1025)}` }, 'protocol-error', '1025'],
    ['an empty challenge', { CHAP_C: '0x' }, 'protocol-error', 'CHAP_C'],
    ['a challenge that is no binary', { CHAP_C: 'x' }, 'protocol-error', 'CHAP_C'],
    ['a second method', { AuthMethod: 'None' }, 'protocol-error', 'AuthMethod: unexpected'],
    ['an operational key', { MaxBurstLength: '512' }, 'protocol-error', 'security stage'],
  ];
  for (const [what, keys, failure, text] of failures) {
    it(`fails on ${what}`, () => {
      const { step } = challenged({}, keys);
      expect(step).to.include({ kind: 'fail', failure });
      expect(step).to.have.property('message').that.includes(text);
    });
  }

  for (const method of ['None', 'Reject', 'KRB5']) {
    it(`is never downgraded to ${method}`, () => {
      const engine = new LoginEngine({ ...tcpOptions, chap });
      engine.start();
      const step = engine.receive(answer({ AuthMethod: method }, inSecurity));
      expect(step).to.include({ kind: 'fail', failure: LoginFailure.negotiationFailed });
    });
  }

  it('cannot be left by the target before it has challenged us', () => {
    const engine = new LoginEngine({ ...tcpOptions, chap });
    engine.start();
    expect(engine.receive(answer({}, toOperational))).to.include({
      kind: 'fail',
      failure: LoginFailure.protocolError,
    });
  });

  it('fails when the target names no method', () => {
    const engine = new LoginEngine({ ...tcpOptions, chap });
    engine.start();
    expect(engine.receive(answer({}, inSecurity))).to.include({
      kind: 'fail',
      message: 'the target sent no AuthMethod',
    });
  });

  it('fails on an answer to a challenge that was never made', () => {
    const { engine } = challenged();
    const step = engine.receive(answer({ CHAP_N: 'x', CHAP_R: '0x00' }, toOperational));
    expect(step).to.include({ kind: 'fail', failure: LoginFailure.protocolError });
  });

  it('fails when the target ends the stage with a question', () => {
    const { engine } = challenged();
    expect(engine.receive(answer({ Turbo: 'Yes' }, toOperational))).to.include({
      kind: 'fail',
      failure: LoginFailure.protocolError,
    });
  });

  it('suggests MD5 after another algorithm was refused', () => {
    const { engine } = challenged({}, { CHAP_A: '6' });
    const step = engine.receive(answer({}, { ...inSecurity, statusClass: 2, statusDetail: 1 }));
    expect(step).to.deep.include({
      kind: 'fail',
      failure: LoginFailure.authenticationFailed,
      retryable: false,
      retryWithChapAlgorithms: [5],
    });
  });

  it('suggests nothing after MD5 was refused', () => {
    const { engine } = challenged();
    const step = engine.receive(answer({}, { ...inSecurity, statusClass: 2, statusDetail: 1 }));
    expect(step).to.not.have.property('retryWithChapAlgorithms');
  });
});

describe('login with mutual CHAP', () => {
  it('challenges the target and believes the right answer', () => {
    const { engine, step } = challenged({ mutualChap });
    expect(keysOf(sent(step))).to.deep.equal({
      CHAP_N: 'joe',
      CHAP_R: hash('md5', 7, secret, challenge),
      CHAP_I: '1',
      CHAP_C: '0x0102030405060708090a0b0c0d0e0f10',
    });
    expect(sent(engine.receive(answer(targetAnswer(), toOperational))).csg).to.equal(1);
  });

  it('goes on when the right answer comes without T', () => {
    const { engine } = challenged({ mutualChap });
    const request = sent(engine.receive(answer(targetAnswer(), inSecurity)));
    expect(request).to.include({ csg: 0, nsg: 1, transit: true });
    expect(sent(engine.receive(answer({}, toOperational))).csg).to.equal(1);
  });

  const failures: [what: string, keys: Record<string, string>][] = [
    ['a wrong response', targetAnswer({ CHAP_R: `0x${'00'.repeat(16)}` })],
    ['a response of another length', targetAnswer({ CHAP_R: '0x00' })],
    [
      'the response to its own challenge',
      { CHAP_N: 'disk', CHAP_R: hash('md5', 7, secret, challenge) },
    ],
    ['another name', targetAnswer({ CHAP_N: 'joe' })],
    ['no response', { CHAP_N: 'disk' }],
    ['no keys at all', {}],
  ];
  for (const [what, keys] of failures) {
    it(`does not believe a target with ${what}`, () => {
      const { engine } = challenged({ mutualChap });
      const step = engine.receive(answer(keys, toOperational));
      expect(step).to.include({
        kind: 'fail',
        failure: LoginFailure.targetAuthenticationFailed,
        retryable: false,
      });
      expect(JSON.stringify(step)).to.not.match(/initiator-secret|the-target-secret/);
    });
  }

  it('refuses a challenge that is our own', () => {
    const { step } = challenged({ mutualChap }, { CHAP_C: '0x0102030405060708090a0b0c0d0e0f10' });
    expect(step).to.include({ kind: 'fail', failure: LoginFailure.protocolError });
    expect(step).to.have.property('message').that.includes('our own challenge');
  });

  const options: [what: string, change: Partial<LoginOptions>][] = [
    ['without credentials of our own', { mutualChap }],
    ['with one secret for both sides', { chap, mutualChap: { user: 'disk', secret } }],
    ['with an empty secret', { chap: { user: 'joe', secret: new Uint8Array(0) } }],
    ['with an empty user', { chap: { user: '', secret } }],
    ['with a NUL in the user', { chap: { user: 'a\0b', secret } }],
    ['with no algorithm', { chap, chapAlgorithms: [] }],
    ['with an unknown algorithm', { chap, chapAlgorithms: [5, 9] }],
  ];
  for (const [what, change] of options) {
    it(`is not to be had ${what}`, () => {
      expect(() => new LoginEngine({ ...tcpOptions, ...change })).to.throw(ConfigurationError);
    });
  }
});
