import { expect } from 'chai';
import { ConfigurationError } from '../../../src/errors.ts';
import { LoginEngine, LoginFailure } from '../../../src/iscsi/login.ts';
import type { LoginOptions } from '../../../src/iscsi/login.ts';
import {
  answer,
  discoveryOptions,
  iserOptions,
  keysOf,
  lioAnswer,
  sent,
  tcpOptions,
  textOf,
  toFullFeature,
} from './login-target.ts';

const lioProposals = {
  InitialR2T: 'Yes',
  ImmediateData: 'Yes',
  DefaultTime2Wait: '2',
  MaxOutstandingR2T: '1',
  DataPDUInOrder: 'Yes',
  DataSequenceInOrder: 'Yes',
  ErrorRecoveryLevel: '0',
};

describe('login over iSER', () => {
  it('offers every key in the first request', () => {
    const request = new LoginEngine(iserOptions).start();
    expect(request).to.include({
      csg: 1,
      nsg: 3,
      transit: true,
      continued: false,
      entersFullFeature: true,
    });
    expect(keysOf(request)).to.deep.equal({
      InitiatorName: 'iqn.2026-01.org.example:initiator',
      TargetName: 'iqn.2026-01.org.example:disk',
      SessionType: 'Normal',
      HeaderDigest: 'None',
      DataDigest: 'None',
      InitialR2T: 'Yes',
      ImmediateData: 'Yes',
      MaxBurstLength: '1048576',
      FirstBurstLength: '8192',
      MaxOutstandingR2T: '1',
      MaxConnections: '1',
      ErrorRecoveryLevel: '0',
      DefaultTime2Wait: '2',
      DefaultTime2Retain: '0',
      DataPDUInOrder: 'Yes',
      DataSequenceInOrder: 'Yes',
      RDMAExtensions: 'Yes',
      InitiatorRecvDataSegmentLength: '8192',
      TargetRecvDataSegmentLength: '8192',
    });
  });

  it('ends in one round trip with LIO, which is silent about InitialR2T', () => {
    const engine = new LoginEngine(iserOptions);
    engine.start();
    const step = engine.receive(answer(lioAnswer, { ...toFullFeature, tsih: 2 }));
    if (step.kind !== 'complete') throw new Error(JSON.stringify(step));
    expect(step.result).to.deep.include({
      tsih: 2,
      targetPortalGroupTag: 1,
      targetAlias: 'LIO Target',
      parameters: {
        headerDigest: false,
        dataDigest: false,
        initialR2t: true,
        immediateData: true,
        firstBurstLength: 8192,
        maxBurstLength: 262144,
        maxSendDataSegmentLength: 8192,
        maxReceiveDataSegmentLength: 8192,
        maxOutstandingR2t: 1,
        defaultTime2Wait: 2,
        defaultTime2Retain: 0,
      },
    });
    expect(step.result.keys.get('AuthMethod')).to.equal('None');
    expect(step.result.keys.get('InitialR2T')).to.equal('Yes');
    expect(step.result.keys.get('TargetAlias')).to.equal('LIO Target');
  });

  it('obeys ImmediateData=No of tgt', () => {
    const engine = new LoginEngine(iserOptions);
    engine.start();
    const step = engine.receive(
      answer({ ...lioAnswer, InitialR2T: 'Yes', ImmediateData: 'No' }, toFullFeature),
    );
    if (step.kind !== 'complete') throw new Error(JSON.stringify(step));
    expect(step.result.parameters.immediateData).to.equal(false);
  });

  it('answers what LIO proposes when little was offered', () => {
    const engine = new LoginEngine({ ...iserOptions, offer: 'required-only' });
    expect(keysOf(engine.start())).to.have.all.keys(
      'InitiatorName',
      'TargetName',
      'SessionType',
      'MaxBurstLength',
      'FirstBurstLength',
      'DefaultTime2Retain',
      'RDMAExtensions',
    );
    const request = sent(engine.receive(answer({ TargetPortalGroupTag: '1', ...lioProposals })));
    expect(request.transit).to.equal(true);
    expect(keysOf(request)).to.deep.equal(lioProposals);
    const step = engine.receive(
      answer({ RDMAExtensions: 'Yes', MaxBurstLength: '262144' }, toFullFeature),
    );
    expect(step.kind).to.equal('complete');
  });

  for (const [word, keys] of Object.entries({
    No: { RDMAExtensions: 'No' },
    Reject: { RDMAExtensions: 'Reject' },
    NotUnderstood: { RDMAExtensions: 'NotUnderstood' },
    silence: {},
  })) {
    it(`fails when RDMAExtensions is answered with ${word}`, () => {
      const engine = new LoginEngine(iserOptions);
      engine.start();
      const rest: Record<string, string> = { ...lioAnswer };
      delete rest['RDMAExtensions'];
      const step = engine.receive(answer({ ...rest, ...keys }, toFullFeature));
      expect(step).to.include({ kind: 'fail', failure: LoginFailure.negotiationFailed });
      expect(step).to.have.property('message').that.includes('RDMAExtensions');
    });
  }

  it('offers InitialR2T=Yes whatever is configured', () => {
    const request = new LoginEngine({ ...iserOptions, initialR2t: false }).start();
    expect(keysOf(request)).to.include({ InitialR2T: 'Yes' });
  });

  it('says before the answer what receives must be posted for', () => {
    const engine = new LoginEngine({ ...iserOptions, receiveDataSegmentLength: 16384 });
    engine.start();
    expect(engine.provisionalParameters()).to.deep.include({
      initialR2t: true,
      immediateData: true,
      maxReceiveDataSegmentLength: 16384,
      maxSendDataSegmentLength: 8192,
      firstBurstLength: 8192,
      headerDigest: false,
    });
  });
});

describe('login over TCP', () => {
  it('declares its data segment length and offers digests', () => {
    const keys = keysOf(new LoginEngine(tcpOptions).start());
    expect(keys).to.include({
      MaxRecvDataSegmentLength: '262144',
      HeaderDigest: 'CRC32C,None',
      DataDigest: 'None',
      InitialR2T: 'Yes',
    });
    expect(keys).to.not.have.any.keys('RDMAExtensions', 'InitiatorRecvDataSegmentLength');
  });

  it('takes the target at its word about its own data segments', () => {
    const engine = new LoginEngine({ ...tcpOptions, dataDigest: 'crc32c', initialR2t: false });
    engine.start();
    const step = engine.receive(
      answer(
        {
          HeaderDigest: 'CRC32C',
          DataDigest: 'CRC32C',
          InitialR2T: 'No',
          MaxRecvDataSegmentLength: '65536',
        },
        toFullFeature,
      ),
    );
    if (step.kind !== 'complete') throw new Error(JSON.stringify(step));
    expect(step.result.parameters).to.include({
      headerDigest: true,
      dataDigest: true,
      initialR2t: false,
      maxSendDataSegmentLength: 65536,
      maxReceiveDataSegmentLength: 262144,
    });
  });

  it('sends 8192 bytes at most to a target that declares nothing', () => {
    const engine = new LoginEngine(tcpOptions);
    engine.start();
    const step = engine.receive(answer({ MaxBurstLength: '4096' }, toFullFeature));
    if (step.kind !== 'complete') throw new Error(JSON.stringify(step));
    expect(step.result.parameters.maxSendDataSegmentLength).to.equal(8192);
    expect(step.result.parameters.firstBurstLength).to.equal(4096);
    expect(step.result).to.not.have.any.keys('targetAlias', 'targetPortalGroupTag');
  });

  it('fails when a demanded digest is not to be had', () => {
    const engine = new LoginEngine({ ...tcpOptions, headerDigest: 'crc32c' });
    engine.start();
    expect(engine.receive(answer({ HeaderDigest: 'None' }))).to.include({
      kind: 'fail',
      failure: LoginFailure.negotiationFailed,
      message: 'HeaderDigest: we need CRC32C, the target\'s word is "None"',
    });
  });

  it('never offers a first burst above the maximum burst', () => {
    const options = { ...tcpOptions, firstBurstLength: 65536, maxBurstLength: 16384 };
    expect(keysOf(new LoginEngine(options).start())).to.include({ FirstBurstLength: '16384' });
  });
});

describe('login for discovery', () => {
  for (const rdma of [false, true]) {
    it(`declares its length and nothing that discovery has no use for (rdma: ${rdma})`, () => {
      const engine = new LoginEngine(discoveryOptions(rdma ? iserOptions : tcpOptions));
      expect(keysOf(engine.start())).to.deep.equal({
        InitiatorName: 'iqn.2026-01.org.example:initiator',
        SessionType: 'Discovery',
        MaxRecvDataSegmentLength: rdma ? '8192' : '262144',
        HeaderDigest: rdma ? 'None' : 'CRC32C,None',
        DataDigest: 'None',
        DefaultTime2Wait: '2',
        DefaultTime2Retain: '0',
        ErrorRecoveryLevel: '0',
      });
      const step = engine.receive(answer({ HeaderDigest: 'None' }, toFullFeature));
      expect(step.kind).to.equal('complete');
    });
  }
});

describe('login text in several PDUs', () => {
  it('is asked for with empty requests and read as one', () => {
    const engine = new LoginEngine(iserOptions);
    engine.start();
    const text = textOf(lioAnswer);
    const first = sent(
      engine.receive({ ...answer({}, { continued: true }), text: text.slice(0, 25) }),
    );
    expect(first).to.include({ transit: false, continued: false, entersFullFeature: false });
    expect(first.text).to.have.length(0);
    const second = sent(engine.receive({ ...answer({}), text: text.slice(25) }));
    expect(second).to.include({ transit: true, nsg: 3 });
    expect(engine.receive(answer({}, toFullFeature)).kind).to.equal('complete');
  });

  it('of ours is split, and T comes with its end', () => {
    const engine = new LoginEngine(tcpOptions);
    engine.start();
    const unknown: Record<string, string> = {};
    for (let i = 0; i < 600; i++) unknown[`X-org.example.key${i}`] = '1';
    const text = textOf(unknown);
    sent(engine.receive({ ...answer({}, { continued: true }), text: text.slice(0, 8192) }));
    const first = sent(engine.receive({ ...answer({}), text: text.slice(8192) }));
    expect(first).to.include({ continued: true, transit: false, nsg: 0, entersFullFeature: false });
    expect(first.text).to.have.length(8192);
    const second = sent(engine.receive(answer({})));
    expect(second).to.include({ continued: true, transit: false });
    const third = sent(engine.receive(answer({})));
    expect(third).to.include({ continued: false, transit: true, entersFullFeature: true });
    const whole = Buffer.concat([first.text, second.text, third.text]).toString();
    expect(whole.split('\0')).to.have.length(601);
    expect(whole).to.match(/X-org\.example\.key599=NotUnderstood\0$/);
  });

  it('of ours may not be interrupted', () => {
    const engine = new LoginEngine(tcpOptions);
    engine.start();
    const keys = Object.fromEntries(
      Array.from({ length: 250 }, (_, i) => [`X-org.example.a-longer-key-name${i}`, '1']),
    );
    sent(engine.receive(answer(keys)));
    expect(engine.receive(answer({ X: '1' }))).to.include({
      kind: 'fail',
      failure: LoginFailure.protocolError,
    });
  });

  it('of more than 64 KiB is refused', () => {
    const engine = new LoginEngine(tcpOptions);
    engine.start();
    const part = { ...answer({}, { continued: true }), text: new Uint8Array(8192) };
    for (let i = 0; i < 8; i++) sent(engine.receive(part));
    expect(engine.receive(part)).to.include({ kind: 'fail', failure: 'protocol-error' });
  });
});

describe('login options', () => {
  const table: [what: string, change: Partial<LoginOptions>][] = [
    ['an initiator name that is none', { initiatorName: 'me' }],
    ['a target name that is none', { targetName: 'disk' }],
    ['lengths below 512', { maxBurstLength: 511 }],
    ['lengths of 2^24', { receiveDataSegmentLength: 1 << 24 }],
    ['lengths that are no integers', { firstBurstLength: 512.5 }],
  ];
  for (const [what, change] of table) {
    it(`are refused with ${what}`, () => {
      expect(() => new LoginEngine({ ...tcpOptions, ...change })).to.throw(ConfigurationError);
    });
  }

  it('are refused without a target name in a normal session', () => {
    const options: LoginOptions = { ...discoveryOptions(tcpOptions), sessionType: 'Normal' };
    expect(() => new LoginEngine(options)).to.throw(ConfigurationError, 'target name');
  });
});
