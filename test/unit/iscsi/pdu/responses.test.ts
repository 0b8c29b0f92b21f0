import { expect } from 'chai';
import { ProtocolError } from '../../../../src/errors.ts';
import {
  AsyncEvent,
  RejectReason,
  ScsiResponse,
  TaskManagementResponseCode,
  readAsyncMessage,
  readDataInStatus,
  readLoginResponse,
  readLogoutResponse,
  readNopIn,
  readReject,
  readScsiResponse,
  readTaskManagementResponse,
  readTextResponse,
} from '../../../../src/iscsi/pdu/index.ts';
import { senseCapacity } from '../../../../src/iscsi/task-table.ts';
import { reservedTag } from '../../../../src/wire/bhs.ts';
import { bhsOffset, dataOffset, hexOf, received } from './golden.ts';

const numbers = '00000010 00000020 00000030';

/** SCSI Response with these flags, status and data segment. */
function scsiResponse(flags: string, status: string, residual: string, data: number[] = []) {
  const bytes = Uint8Array.from(data);
  const { view } = received(
    `21${flags}00${status} 00000000 00000000 00000000 000000aa 00000000 ${numbers} 00000000 00000000 ${residual}`,
    bytes,
  );
  const into = new ScsiResponse();
  into.senseLength = 99;
  into.residualCount = 99;
  readScsiResponse(view, bhsOffset, dataOffset, bytes.length, into);
  return into;
}

describe('SCSI Response', () => {
  it('reads GOOD status with its serial numbers and forgets the one before', () => {
    const response = scsiResponse('80', '00', '00000007');
    expect(response).to.deep.equal({
      initiatorTaskTag: 0xaa,
      statSn: 0x10,
      expCmdSn: 0x20,
      maxCmdSn: 0x30,
      response: 0,
      status: 0,
      overflow: false,
      underflow: false,
      residualCount: 0,
      senseOffset: 0,
      senseLength: 0,
    });
  });

  it('reads the residual count of an underflow', () => {
    const response = scsiResponse('82', '00', '00001000');
    expect(response.underflow).to.equal(true);
    expect(response.overflow).to.equal(false);
    expect(response.residualCount).to.equal(0x1000);
  });

  it('reads the residual count of an overflow', () => {
    const response = scsiResponse('84', '00', 'ffffffff');
    expect(response.overflow).to.equal(true);
    expect(response.residualCount).to.equal(0xffffffff);
  });

  it('refuses an underflow that is an overflow too', () => {
    expect(() => scsiResponse('86', '00', '00000001')).to.throw(
      ProtocolError,
      'SCSI Response: both residual flags',
    );
  });

  it('finds the sense data behind its length', () => {
    const response = scsiResponse('80', '02', '00000000', [0, 4, 0x70, 0, 6, 0, 0, 0]);
    expect(response.status).to.equal(2);
    expect(response.senseOffset).to.equal(dataOffset + 2);
    expect(response.senseLength).to.equal(4);
  });

  it('believes no sense length beyond the data segment', () => {
    expect(scsiResponse('80', '02', '00000000', [0xff, 0xff, 1, 2, 3]).senseLength).to.equal(3);
  });

  it('takes no more sense data than a task has room for', () => {
    const data = new Array<number>(300).fill(0x70);
    data.splice(0, 2, 0x01, 0x2a);
    expect(scsiResponse('80', '02', '00000000', data).senseLength).to.equal(senseCapacity);
  });

  it('reads no sense from a data segment that has no room for it', () => {
    expect(scsiResponse('80', '02', '00000000', [0, 18]).senseLength).to.equal(0);
  });

  it('reads a response code other than "command completed"', () => {
    const { view } = received(
      `21800100 00000000 00000000 00000000 000000aa 00000000 ${numbers} 00000000 00000000 00000000`,
    );
    const into = new ScsiResponse();
    readScsiResponse(view, bhsOffset, dataOffset, 0, into);
    expect(into.response).to.equal(1);
  });
});

describe('SCSI Data-In with status', () => {
  function dataIn(flags: string) {
    const { view } = received(
      `25${flags}0008 00000200 00000000 00000000 000000ab ffffffff ${numbers} 00000001 00000000 00000100`,
    );
    const into = new ScsiResponse();
    into.response = 9;
    readDataInStatus(view, bhsOffset, into);
    return into;
  }

  it('reads status and residual', () => {
    const response = dataIn('83');
    expect(response).to.include({
      initiatorTaskTag: 0xab,
      response: 0,
      status: 8,
      underflow: true,
      residualCount: 0x100,
      statSn: 0x10,
      senseLength: 0,
    });
  });

  it('refuses both residual flags', () => {
    expect(() => dataIn('87')).to.throw(ProtocolError, 'Data-In');
  });

  it('is a bug of ours without the S bit', () => {
    expect(() => dataIn('80')).to.throw('assertion failed');
  });
});

describe('NOP-In', () => {
  const nopIn = (itt: string, ttt: string) =>
    readNopIn(
      received(
        `20800000 00000000 00010000 00000002 ${itt} ${ttt} ${numbers} 00000000 00000000 00000000`,
      ).view,
      bhsOffset,
    );

  it('reads the answer to our ping', () => {
    expect(nopIn('00000005', 'ffffffff')).to.deep.equal({
      initiatorTaskTag: 5,
      targetTransferTag: reservedTag,
      lunHigh: 0x00010000,
      lunLow: 2,
      statSn: 0x10,
      expCmdSn: 0x20,
      maxCmdSn: 0x30,
    });
  });

  it('reads a ping of the target that wants an answer', () => {
    const pdu = nopIn('ffffffff', '0badcafe');
    expect(pdu.initiatorTaskTag).to.equal(reservedTag);
    expect(pdu.targetTransferTag).to.equal(0x0badcafe);
  });

  it('reads a ping that wants none', () => {
    expect(nopIn('ffffffff', 'ffffffff').targetTransferTag).to.equal(reservedTag);
  });

  it('asks for nothing when it answers our ping, whatever its TTT', () => {
    expect(nopIn('00000005', '00000006').targetTransferTag).to.equal(reservedTag);
  });
});

describe('Login Response', () => {
  const text = new TextEncoder().encode('TargetPortalGroupTag=1\0');

  it('reads stages, status and a copy of the text', () => {
    const { view, bytes } = received(
      `23870000 00000017 80010203 04050100 00000001 00000000 ${numbers} 00000000 00000000 00000000`,
      text,
    );
    const response = readLoginResponse(view, bhsOffset, dataOffset, text.length);
    bytes.fill(0);
    expect(response).to.deep.equal({
      initiatorTaskTag: 1,
      statSn: 0x10,
      expCmdSn: 0x20,
      maxCmdSn: 0x30,
      transit: true,
      continued: false,
      csg: 1,
      nsg: 3,
      isid: Uint8Array.of(0x80, 1, 2, 3, 4, 5),
      tsih: 0x100,
      statusClass: 0,
      statusDetail: 0,
      text,
    });
  });

  it('reads the C bit and a refusal', () => {
    const { view } = received(
      `23440000 00000000 00000000 00000000 00000001 00000000 ${numbers} 02030000 00000000 00000000`,
    );
    const response = readLoginResponse(view, bhsOffset, dataOffset, 0);
    expect(response).to.include({
      continued: true,
      transit: false,
      statusClass: 2,
      statusDetail: 3,
    });
  });

  it('refuses a protocol version that does not exist', () => {
    const { view } = received(
      `23870001 00000000 00000000 00000000 00000001 00000000 ${numbers} 00000000 00000000 00000000`,
    );
    expect(() => readLoginResponse(view, bhsOffset, dataOffset, 0)).to.throw(
      ProtocolError,
      'Version-active 1',
    );
  });

  it('does not look at the version of a refusal', () => {
    const { view } = received(
      `23000005 00000000 00000000 00000000 00000001 00000000 ${numbers} 02050000 00000000 00000000`,
    );
    expect(readLoginResponse(view, bhsOffset, dataOffset, 0).statusDetail).to.equal(5);
  });
});

describe('Text Response', () => {
  it('reads flags, tags and a copy of the text', () => {
    const text = Uint8Array.of(65, 61, 66, 0);
    const { view, bytes } = received(
      `24400000 00000004 00000001 00000002 00000003 00000004 ${numbers} 00000000 00000000 00000000`,
      text,
    );
    const response = readTextResponse(view, bhsOffset, dataOffset, 4);
    bytes.fill(0);
    expect(response).to.deep.include({
      final: false,
      continued: true,
      lunHigh: 1,
      lunLow: 2,
      initiatorTaskTag: 3,
      targetTransferTag: 4,
      text,
    });
  });
});

describe('Task Management Function Response', () => {
  it('reads the response code', () => {
    const { view } = received(
      `2280ff00 00000000 00000000 00000000 00000003 00000000 ${numbers} 00000000 00000000 00000000`,
    );
    expect(readTaskManagementResponse(view, bhsOffset)).to.deep.equal({
      initiatorTaskTag: 3,
      statSn: 0x10,
      expCmdSn: 0x20,
      maxCmdSn: 0x30,
      response: TaskManagementResponseCode.functionRejected,
    });
  });
});

describe('Logout Response', () => {
  it('reads the response code and the two times', () => {
    const { view } = received(
      `26800100 00000000 00000000 00000000 00000003 00000000 ${numbers} 00000000 00020014 00000000`,
    );
    expect(readLogoutResponse(view, bhsOffset)).to.include({
      response: 1,
      time2Wait: 2,
      time2Retain: 20,
    });
  });
});

describe('Asynchronous Message', () => {
  const async = (event: string, data: number[] = []) => {
    const { view } = received(
      `32800000 00000000 00010000 00000000 ffffffff 00000000 ${numbers} ${event}050001 00020003 00000000`,
      Uint8Array.from(data),
    );
    return readAsyncMessage(view, bhsOffset, dataOffset, data.length);
  };

  it('reads event and parameters', () => {
    expect(async('02')).to.deep.include({
      event: AsyncEvent.connectionWillDrop,
      vendorCode: 5,
      parameter1: 1,
      parameter2: 2,
      parameter3: 3,
      lunHigh: 0x00010000,
      lunLow: 0,
      sense: new Uint8Array(0),
    });
  });

  it('copies the sense data of a SCSI event', () => {
    expect(hexOf(async('00', [0, 3, 0x70, 1, 2, 0xff]).sense)).to.equal('700102');
  });

  it('believes no sense length beyond the data segment', () => {
    expect(async('00', [9, 9, 0x70, 1]).sense).to.have.length(2);
  });

  it('takes the data of other events for no sense', () => {
    expect(async('01', [0, 2, 0x70, 1]).sense).to.have.length(0);
  });
});

describe('Reject', () => {
  const reject = (data: Uint8Array) => {
    const { view } = received(
      `3f800900 00000030 00000000 00000000 ffffffff 00000000 ${numbers} 00000000 00000000 00000000`,
      data,
    );
    return readReject(view, bhsOffset, dataOffset, data.length);
  };

  it('finds opcode and tag in the header that was rejected', () => {
    const header = new Uint8Array(48);
    header[0] = 0x41;
    header.set([1, 2, 3, 4], 16);
    expect(reject(header)).to.include({
      reason: RejectReason.invalidPduField,
      rejectedOpcode: 1,
      rejectedTaskTag: 0x01020304,
      initiatorTaskTag: reservedTag,
    });
  });

  it('refuses one that does not bring the header', () => {
    expect(() => reject(new Uint8Array(47))).to.throw(ProtocolError, '47 bytes');
  });
});
