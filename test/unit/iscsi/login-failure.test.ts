import { expect } from 'chai';
import fc from 'fast-check';
import { LoginEngine, LoginFailure } from '../../../src/iscsi/login.ts';
import type { LoginOptions } from '../../../src/iscsi/login.ts';
import { loginStatusOf } from '../../../src/iscsi/login-status.ts';
import {
  answer,
  iserOptions,
  lioAnswer,
  sent,
  tcpOptions,
  textOf,
  toFullFeature,
} from './login-target.ts';

describe('login that the target breaks', () => {
  const start = (options: LoginOptions = tcpOptions) => {
    const engine = new LoginEngine(options);
    engine.start();
    return engine;
  };
  const refusals: [what: string, response: Parameters<LoginEngine['receive']>[0], text: string][] =
    [
      ['a wrong CSG', answer({}, { csg: 0 }), 'CSG 0 in stage 1'],
      ['a wrong NSG', answer({}, { transit: true, nsg: 1 }), 'NSG 1, we asked for 3'],
      ['both T and C', answer({}, { transit: true, nsg: 3, continued: true }), 'both T and C'],
      ['a duplicate key', { ...answer({}), text: new TextEncoder().encode('A=1\0A=1\0') }, 'twice'],
      ['text that is cut off', { ...answer({}), text: textOf({ A: '1' }).slice(0, 3) }, 'NUL'],
      ['a value out of range', answer({ MaxBurstLength: '5' }), 'MaxBurstLength: 5 is not in'],
      [
        'a proposal that leaves no time for an answer',
        answer({ TaskReporting: 'RFC3720' }, toFullFeature),
        'TaskReporting is proposed and the stage ended at once',
      ],
      ['a key of the security stage', answer({ AuthMethod: 'None' }), 'AuthMethod'],
    ];
  for (const [what, response, text] of refusals) {
    it(`with ${what} fails as a protocol error`, () => {
      const step = start().receive(response);
      expect(step).to.include({
        kind: 'fail',
        failure: LoginFailure.protocolError,
        retryable: false,
        statusClass: 0,
      });
      expect(step).to.have.property('message').that.includes(text);
    });
  }

  it('by transiting after a request without T fails', () => {
    const engine = start();
    sent(engine.receive(answer({}, { continued: true })));
    expect(engine.receive(answer({}, toFullFeature))).to.include({
      kind: 'fail',
      message: 'Login Response: T is set, the request had it not',
    });
  });

  it('by never ending it fails after a bounded number of rounds', () => {
    const engine = start();
    let rounds = 0;
    let step = engine.receive(answer({}));
    while (step.kind === 'send') {
      rounds++;
      expect(rounds).to.be.lessThan(100);
      step = engine.receive(answer({}));
    }
    expect(step).to.include({ kind: 'fail', failure: LoginFailure.negotiationFailed });
  });

  it('is over: another answer is a bug of ours', () => {
    const engine = start();
    engine.receive(answer({}, { csg: 0 }));
    expect(() => engine.receive(answer({}))).to.throw('assertion failed');
  });

  it('ends in a step whatever bytes come', () => {
    const response = fc.record({
      transit: fc.boolean(),
      continued: fc.boolean(),
      csg: fc.constantFrom(0, 1, 1, 1, 2, 3),
      nsg: fc.constantFrom(0, 1, 3),
      tsih: fc.nat(65535),
      statusClass: fc.constantFrom(0, 0, 0, 0, 1, 2, 3, 255),
      statusDetail: fc.nat(255),
      text: fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        fc
          .dictionary(
            fc.constantFrom(...Object.keys(lioAnswer), 'TargetAddress', 'CHAP_C'),
            fc.oneof(fc.constantFrom('Yes', 'No', '512', '1', 'None', 'Reject'), fc.string()),
          )
          .map(textOf),
      ),
    });
    const chap = { user: 'u', secret: Uint8Array.of(1) };
    fc.assert(
      fc.property(fc.array(response, { minLength: 1 }), fc.boolean(), (responses, withChap) => {
        const engine = start(withChap ? { ...tcpOptions, chap } : iserOptions);
        for (const one of responses) {
          const { kind } = engine.receive(one);
          expect(kind).to.be.oneOf(['send', 'complete', 'redirect', 'fail']);
          if (kind !== 'send') return;
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('login that the target refuses', () => {
  const refuse = (statusClass: number, statusDetail: number, keys: Record<string, string> = {}) => {
    const engine = new LoginEngine(tcpOptions);
    engine.start();
    return engine.receive(answer(keys, { statusClass, statusDetail, csg: 0 }));
  };

  const table: [code: number, failure: string, retryable: boolean][] = [
    [0x0200, 'initiator-error', false],
    [0x0201, 'authentication-failed', false],
    [0x0202, 'authorization-failed', false],
    [0x0203, 'target-not-found', false],
    [0x0204, 'target-removed', false],
    [0x0205, 'unsupported-version', false],
    [0x0206, 'too-many-connections', true],
    [0x0207, 'missing-parameter', false],
    [0x0208, 'cannot-include-in-session', true],
    [0x0209, 'session-type-not-supported', false],
    [0x020a, 'session-does-not-exist', true],
    [0x020b, 'invalid-during-login', false],
    [0x02ff, 'initiator-error', false],
    [0x0300, 'target-error', true],
    [0x0301, 'service-unavailable', true],
    [0x0302, 'out-of-resources', true],
    [0x0377, 'target-error', true],
    [0x0400, 'protocol-error', false],
  ];
  for (const [code, failure, retryable] of table) {
    const shown = `0x${code.toString(16).padStart(4, '0')}`;
    it(`with ${shown} fails: ${failure}, ${retryable ? 'worth' : 'not worth'} another try`, () => {
      const step = refuse(code >> 8, code & 0xff);
      expect(step).to.include({
        kind: 'fail',
        failure,
        retryable,
        statusClass: code >> 8,
        statusDetail: code & 0xff,
      });
      expect(step).to.have.property('message').that.includes(shown);
      expect(step).to.not.have.property('retryWithChapAlgorithms');
      expect(loginStatusOf(code >> 8, code & 0xff).failure).to.equal(failure);
    });
  }

  it('says that CHAP is not configured when the target wants it', () => {
    expect(refuse(2, 1)).to.have.property('message').that.includes('no CHAP credentials');
  });

  it('with a temporary redirection goes to an IPv6 portal', () => {
    expect(refuse(1, 1, { TargetAddress: '[fd00::2]:3261,7' })).to.deep.equal({
      kind: 'redirect',
      address: 'fd00::2',
      port: 3261,
      portalGroupTag: 7,
      permanent: false,
    });
  });

  it('with a permanent redirection goes to a host at the usual port', () => {
    expect(refuse(1, 2, { TargetAddress: 'other.example' })).to.deep.equal({
      kind: 'redirect',
      address: 'other.example',
      port: 3260,
      permanent: true,
    });
  });

  it('with a redirection to nowhere fails', () => {
    expect(refuse(1, 1)).to.include({ kind: 'fail', failure: LoginFailure.protocolError });
    expect(refuse(1, 1, { TargetAddress: 'a b' })).to.include({ kind: 'fail' });
  });
});
