import { expect } from 'chai';
import { encodeLun } from '../../../../src/iscsi/lun.ts';
import {
  LogoutReason,
  ScsiCommandFlag,
  TaskAttribute,
  TaskManagementFunction,
  writeLoginRequest,
  writeLogoutRequest,
  writeNopOut,
  writeScsiCommand,
  writeTaskManagementRequest,
  writeTextRequest,
} from '../../../../src/iscsi/pdu/index.ts';
import { reservedTag } from '../../../../src/wire/bhs.ts';
import { bhsOffset, scratch, writtenBhs } from './golden.ts';

describe('iSCSI requests', () => {
  it('writes a SCSI Command for a write of 4096 bytes', () => {
    const target = scratch();
    const cdb = new DataView(Uint8Array.from({ length: 48 }, (_, i) => i).buffer);
    writeScsiCommand(
      target.view,
      bhsOffset,
      ScsiCommandFlag.final | ScsiCommandFlag.write | TaskAttribute.simple,
      encodeLun(5),
      0x01020304,
      4096,
      0xfffffff0,
      0x80000001,
      cdb,
      16,
    );
    expect(writtenBhs(target)).to.equal(
      '01a10000 00000000 00050000 00000000 01020304 00001000 fffffff0 80000001 ' +
        '10111213 14151617 18191a1b 1c1d1e1f',
    );
  });

  it('never marks a SCSI Command immediate', () => {
    const target = scratch();
    const cdb = new DataView(new ArrayBuffer(16));
    writeScsiCommand(target.view, bhsOffset, 0xff, 0, 1, 0, 1, 1, cdb, 0);
    expect(target.bytes[bhsOffset]).to.equal(0x01);
  });

  it('writes a ping of our own with a tag and without a target transfer tag', () => {
    const target = scratch();
    writeNopOut(target.view, bhsOffset, 0, 0, 7, reservedTag, 9, 11);
    expect(writtenBhs(target)).to.equal(
      '40800000 00000000 00000000 00000000 00000007 ffffffff 00000009 0000000b ' +
        '00000000 00000000 00000000 00000000',
    );
  });

  it('writes the answer to a NOP-In with its LUN and its target transfer tag', () => {
    const target = scratch();
    writeNopOut(target.view, bhsOffset, 0x00010000, 0x1234, reservedTag, 0xdeadbeef, 9, 11);
    expect(writtenBhs(target)).to.equal(
      '40800000 00000000 00010000 00001234 ffffffff deadbeef 00000009 0000000b ' +
        '00000000 00000000 00000000 00000000',
    );
  });

  it('writes ABORT TASK with the tag and the CmdSN of the task', () => {
    const target = scratch();
    writeTaskManagementRequest(
      target.view,
      bhsOffset,
      TaskManagementFunction.abortTask,
      encodeLun(256),
      0x11,
      0x22,
      0x33,
      0x44,
      0x55,
    );
    expect(writtenBhs(target)).to.equal(
      '42810000 00000000 41000000 00000000 00000011 00000022 00000033 00000044 ' +
        '00000055 00000000 00000000 00000000',
    );
  });

  it('writes the Login Request that enters the full feature phase', () => {
    const target = scratch();
    writeLoginRequest(
      target.view,
      bhsOffset,
      {
        csg: 1,
        nsg: 3,
        transit: true,
        continued: false,
        text: new Uint8Array(5),
        entersFullFeature: true,
      },
      Uint8Array.of(0x80, 1, 2, 3, 4, 5),
      0,
      0x77,
      2,
      3,
      4,
    );
    expect(writtenBhs(target)).to.equal(
      '43870000 00000000 80010203 04050000 00000077 00020000 00000003 00000004 ' +
        '00000000 00000000 00000000 00000000',
    );
  });

  it('leaves NSG reserved in a Login Request without the T bit and sets C', () => {
    const target = scratch();
    writeLoginRequest(
      target.view,
      bhsOffset,
      {
        csg: 1,
        nsg: 3,
        transit: false,
        continued: true,
        text: new Uint8Array(0),
        entersFullFeature: false,
      },
      new Uint8Array(6),
      0x1234,
      1,
      0,
      1,
      1,
    );
    expect(target.bytes[bhsOffset + 1]).to.equal(0x44);
    expect(target.view.getUint16(bhsOffset + 14)).to.equal(0x1234);
  });

  it('writes a complete Text Request', () => {
    const target = scratch();
    writeTextRequest(target.view, bhsOffset, 0, 0, 1, reservedTag, 2, 3);
    expect(writtenBhs(target)).to.equal(
      '44800000 00000000 00000000 00000000 00000001 ffffffff 00000002 00000003 ' +
        '00000000 00000000 00000000 00000000',
    );
  });

  it('writes a Text Request that goes on with an exchange of the target', () => {
    const target = scratch();
    writeTextRequest(target.view, bhsOffset, 1, 2, 1, 0xabcd, 2, 3, false);
    expect(writtenBhs(target)).to.equal(
      '44000000 00000000 00000001 00000002 00000001 0000abcd 00000002 00000003 ' +
        '00000000 00000000 00000000 00000000',
    );
  });

  it('writes a Logout Request that closes the session', () => {
    const target = scratch();
    writeLogoutRequest(target.view, bhsOffset, LogoutReason.closeSession, 1, 9, 2, 3);
    expect(writtenBhs(target)).to.equal(
      '46800000 00000000 00000000 00000000 00000001 00000000 00000002 00000003 ' +
        '00000000 00000000 00000000 00000000',
    );
  });

  it('names the connection in a Logout Request that closes one', () => {
    const target = scratch();
    writeLogoutRequest(target.view, bhsOffset, LogoutReason.closeConnection, 1, 9, 2, 3);
    expect(target.bytes[bhsOffset + 1]).to.equal(0x81);
    expect(target.view.getUint32(bhsOffset + 20)).to.equal(0x00090000);
  });
});
