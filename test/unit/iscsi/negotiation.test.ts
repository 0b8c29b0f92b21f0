import { expect } from 'chai';
import { ProtocolError } from '../../../src/errors.ts';
import { LoginError } from '../../../src/iscsi/login-error.ts';
import { Negotiation } from '../../../src/iscsi/negotiation.ts';
import type { NegotiationPosition } from '../../../src/iscsi/negotiation.ts';

function negotiation(
  values: Record<string, string>,
  more: Partial<NegotiationPosition> = {},
): Negotiation {
  return new Negotiation({
    values: new Map(Object.entries(values)),
    required: new Set(),
    discovery: false,
    rdma: true,
    ...more,
  });
}

/** Our offer of one key and the target's answer to it. */
function offered(key: string, offer: string, answer: string | undefined): Negotiation {
  const it = negotiation({ [key]: offer });
  it.offer([key]);
  if (answer !== undefined) {
    expect(it.receive(new Map([[key, answer]]))).to.deep.equal([]);
  }
  it.conclude();
  return it;
}

describe('negotiation of an offer', () => {
  const silence = undefined;
  const table: [key: string, offer: string, answer: string | undefined, value: string][] = [
    ['HeaderDigest', 'CRC32C,None', 'None', 'None'],
    ['HeaderDigest', 'CRC32C,None', 'CRC32C', 'CRC32C'],
    ['HeaderDigest', 'CRC32C,None', silence, 'None'],
    ['HeaderDigest', 'CRC32C,None', 'NotUnderstood', 'None'],
    ['InitialR2T', 'Yes', 'Yes', 'Yes'],
    ['InitialR2T', 'Yes', silence, 'Yes'],
    ['InitialR2T', 'No', 'Yes', 'Yes'],
    ['InitialR2T', 'No', 'No', 'No'],
    ['InitialR2T', 'No', silence, 'Yes'],
    ['InitialR2T', 'No', 'Reject', 'Yes'],
    ['ImmediateData', 'Yes', 'No', 'No'],
    ['ImmediateData', 'Yes', 'Yes', 'Yes'],
    ['ImmediateData', 'No', silence, 'No'],
    ['MaxBurstLength', '16776192', '262144', '262144'],
    ['MaxBurstLength', '16776192', '0x40000', '262144'],
    ['MaxBurstLength', '16776192', silence, '262144'],
    ['MaxBurstLength', '65536', silence, '65536'],
    ['FirstBurstLength', '8192', '512', '512'],
    ['FirstBurstLength', '8192', 'Irrelevant', '8192'],
    ['DefaultTime2Wait', '2', '5', '5'],
    ['DefaultTime2Retain', '0', '0', '0'],
    ['MaxOutstandingR2T', '1', '1', '1'],
    ['DataPDUInOrder', 'Yes', silence, 'Yes'],
    ['RDMAExtensions', 'Yes', 'Yes', 'Yes'],
    ['RDMAExtensions', 'Yes', silence, 'No'],
    ['TargetRecvDataSegmentLength', '8192', '4096', '4096'],
  ];
  for (const [key, offer, answer, value] of table) {
    it(`${key}=${offer}, answer ${answer ?? '(none)'}: ${value}`, () => {
      const done = offered(key, offer, answer);
      expect(done.value(key)).to.equal(value);
      expect(done.outcome().get(key)).to.equal(value);
    });
  }

  const refusals: [key: string, offer: string, answer: string, text: string][] = [
    ['MaxBurstLength', '262144', '262145', 'answered 262145 to the offer 262144'],
    ['MaxBurstLength', '262144', '511', 'MaxBurstLength: 511 is not in 512..16777215'],
    ['MaxBurstLength', '262144', 'lots', 'MaxBurstLength: "lots" is not a number'],
    ['DefaultTime2Wait', '2', '1', 'answered 1 to the offer 2'],
    ['DefaultTime2Wait', '2', '3601', '0..3600'],
    ['MaxConnections', '1', '0', '1..65535'],
    ['ErrorRecoveryLevel', '0', '2', 'answered 2 to the offer 0'],
    ['InitialR2T', 'Yes', 'No', 'answered No to the offer Yes'],
    ['ImmediateData', 'No', 'Yes', 'answered Yes to the offer No'],
    ['ImmediateData', 'Yes', 'true', 'neither Yes nor No'],
    ['HeaderDigest', 'None', '', 'the list is empty'],
  ];
  for (const [key, offer, answer, text] of refusals) {
    it(`${key}=${offer}, answer ${JSON.stringify(answer)}: refused`, () => {
      expect(() => offered(key, offer, answer)).to.throw(ProtocolError, text);
    });
  }

  it('fails when a list has nothing that both want', () => {
    expect(() => offered('HeaderDigest', 'CRC32C', 'None')).to.throw(
      LoginError,
      'HeaderDigest: we need CRC32C',
    );
    expect(() => offered('HeaderDigest', 'CRC32C', undefined)).to.throw(LoginError, 'no answer');
    expect(() => offered('HeaderDigest', 'CRC32C', 'Reject')).to.throw(LoginError, 'Reject');
  });

  for (const answer of ['No', 'Reject', 'NotUnderstood', undefined]) {
    it(`fails when a required key is answered ${answer ?? 'with silence'}`, () => {
      const it = negotiation({ RDMAExtensions: 'Yes' }, { required: new Set(['RDMAExtensions']) });
      it.offer(['RDMAExtensions']);
      if (answer !== undefined) it.receive(new Map([['RDMAExtensions', answer]]));
      expect(() => {
        it.conclude();
      }).to.throw(LoginError, 'RDMAExtensions: we need Yes');
    });
  }

  it('is settled by the first answer', () => {
    const done = offered('MaxBurstLength', '262144', '65536');
    expect(() => done.receive(new Map([['MaxBurstLength', '65536']]))).to.throw(
      ProtocolError,
      'negotiated already',
    );
  });

  it('cannot offer a key twice', () => {
    const it = negotiation({ ImmediateData: 'Yes' });
    it.offer(['ImmediateData']);
    expect(() => it.offer(['ImmediateData'])).to.throw('offered twice');
  });
});

describe('negotiation of what the target proposes', () => {
  const ours = {
    InitialR2T: 'Yes',
    ImmediateData: 'Yes',
    MaxBurstLength: '1048576',
    FirstBurstLength: '8192',
    DefaultTime2Wait: '2',
    DefaultTime2Retain: '0',
    HeaderDigest: 'None',
    InitiatorRecvDataSegmentLength: '8192',
  };
  const table: [key: string, proposal: string, answer: string, value: string][] = [
    ['InitialR2T', 'No', 'Yes', 'Yes'],
    ['ImmediateData', 'No', 'No', 'No'],
    ['MaxBurstLength', '262144', '262144', '262144'],
    ['MaxBurstLength', '16777215', '1048576', '1048576'],
    ['FirstBurstLength', '65536', '8192', '8192'],
    ['DefaultTime2Wait', '0', '2', '2'],
    ['DefaultTime2Retain', '20', '0', '0'],
    ['HeaderDigest', 'CRC32C,None', 'None', 'None'],
    ['HeaderDigest', 'CRC32C', 'Reject', 'None'],
    ['TaskReporting', 'FastAbort,RFC3720', 'RFC3720', 'RFC3720'],
    ['iSCSIProtocolLevel', '2', '1', '1'],
    ['IFMarker', 'Yes', 'No', 'No'],
    ['InitiatorRecvDataSegmentLength', '262144', '8192', '8192'],
    ['iSERHelloRequired', 'Yes', 'No', 'No'],
  ];
  for (const [key, proposal, answer, value] of table) {
    it(`${key}=${proposal}: we answer ${answer}`, () => {
      const it = negotiation(ours);
      expect(it.receive(new Map([[key, proposal]]))).to.deep.equal([[key, answer]]);
      expect(it.value(key)).to.equal(value);
    });
  }

  it('rejects the intervals of markers and does not understand unknown keys', () => {
    const it = negotiation(ours);
    const keys = new Map([
      ['IFMarkInt', '2048'],
      ['X-org.example.speed', 'high'],
      ['Turbo', 'Yes'],
    ]);
    expect(it.receive(keys)).to.deep.equal([
      ['IFMarkInt', 'Reject'],
      ['X-org.example.speed', 'NotUnderstood'],
      ['Turbo', 'NotUnderstood'],
    ]);
  });

  it('calls session parameters irrelevant in discovery', () => {
    const it = negotiation({}, { discovery: true, rdma: false });
    expect(it.receive(new Map([['MaxBurstLength', '65536']]))).to.deep.equal([
      ['MaxBurstLength', 'Irrelevant'],
    ]);
    expect(it.value('MaxBurstLength')).to.equal('262144');
  });

  it('calls RDMA lengths irrelevant over TCP and refuses the extensions', () => {
    const it = negotiation({}, { rdma: false });
    const keys = new Map([
      ['RDMAExtensions', 'Yes'],
      ['TargetRecvDataSegmentLength', '8192'],
    ]);
    expect(it.receive(keys)).to.deep.equal([
      ['RDMAExtensions', 'No'],
      ['TargetRecvDataSegmentLength', 'Irrelevant'],
    ]);
  });

  it('refuses a proposal out of range', () => {
    expect(() => negotiation(ours).receive(new Map([['MaxBurstLength', '1']]))).to.throw(
      ProtocolError,
      'MaxBurstLength: 1 is not in 512..16777215',
    );
  });

  it('refuses an answer to what was never offered', () => {
    expect(() => negotiation(ours).receive(new Map([['Turbo', 'Reject']]))).to.throw(
      ProtocolError,
      'never offered',
    );
  });

  for (const key of ['InitiatorName', 'SessionType', 'SendTargets', 'AuthMethod', 'CHAP_C']) {
    it(`refuses ${key} from a target`, () => {
      expect(() => negotiation(ours).receive(new Map([[key, 'x']]))).to.throw(
        ProtocolError,
        `${key}: a target may not send it here`,
      );
    });
  }
});

describe('declarations of the target', () => {
  const declare = (...pairs: [string, string][]) => {
    const it = negotiation({});
    for (const pair of pairs) expect(it.receive(new Map([pair]))).to.deep.equal([]);
    return it;
  };

  it('are kept without an answer', () => {
    const it = declare(['TargetAlias', 'disk'], ['MaxRecvDataSegmentLength', '0x10000']);
    expect(it.declared('TargetAlias')).to.equal('disk');
    expect(it.declared('MaxRecvDataSegmentLength')).to.equal('65536');
    expect(it.declared('TargetPortalGroupTag')).to.equal(undefined);
  });

  it('may be repeated with the same value', () => {
    const it = declare(['TargetPortalGroupTag', '1'], ['TargetPortalGroupTag', '1']);
    expect(it.declared('TargetPortalGroupTag')).to.equal('1');
  });

  it('may not be changed', () => {
    expect(() => declare(['TargetPortalGroupTag', '1'], ['TargetPortalGroupTag', '2'])).to.throw(
      ProtocolError,
      'declared with another value',
    );
  });

  it('may add addresses, of which the first is kept', () => {
    const it = declare(['TargetAddress', 'a'], ['TargetAddress', 'b']);
    expect(it.declared('TargetAddress')).to.equal('a');
  });

  it('are refused out of range', () => {
    expect(() => declare(['TargetPortalGroupTag', '65536'])).to.throw(ProtocolError, '0..65535');
    expect(() => declare(['MaxRecvDataSegmentLength', '511'])).to.throw(ProtocolError, '512');
    expect(() => declare(['TargetAlias', 'x'.repeat(256)])).to.throw(ProtocolError, '255');
  });

  it('are all that may come in the security stage', () => {
    const it = negotiation({});
    expect(it.receiveInSecurityStage(new Map([['TargetAlias', 'x']]))).to.deep.equal([]);
    for (const key of ['MaxBurstLength', 'IFMarkInt']) {
      expect(() => it.receiveInSecurityStage(new Map([[key, '512']]))).to.throw(
        ProtocolError,
        'security stage',
      );
    }
  });
});
