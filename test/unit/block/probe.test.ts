import { expect } from 'chai';
import { ProbeError, probeLogicalUnit } from '../../../src/block/probe.ts';
import { geometryOf } from '../../../src/block/profile.ts';
import { ProtocolError } from '../../../src/errors.ts';
import { TaskOutcome } from '../../../src/iscsi/task-table.ts';
import { OperationCode } from '../../../src/scsi/cdb.ts';
import { promptProbe } from '../../helpers/block-fixture.ts';
import { FakeScsiSession, ManualTimers } from '../../helpers/fake-scsi-session.ts';
import {
  RamLogicalUnit,
  checkCondition,
  good,
  statusOnly,
  type RamLogicalUnitOptions,
  type ScsiAnswer,
} from '../../helpers/ram-logical-unit.ts';

const small: RamLogicalUnitOptions = { blocks: 1024, blockLength: 512 };
const inquiry = 0x12;
const rsoc = 0xa3;

function sessionOf(unit: RamLogicalUnit): FakeScsiSession {
  return new FakeScsiSession(unit, new Uint8Array(0), new ManualTimers(), 1);
}

async function probe(options: RamLogicalUnitOptions, fault?: RamLogicalUnit['fault']) {
  const unit = new RamLogicalUnit(options);
  unit.fault = fault;
  const result = await probeLogicalUnit(sessionOf(unit), promptProbe);
  return { unit, ...result };
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('the probe succeeded');
}

/** Answers the first `times` commands with this operation code so. */
function first(times: number, operationCode: number, answer: ScsiAnswer) {
  let left = times;
  return (cdb: Uint8Array) => (cdb[0] === operationCode && left-- > 0 ? answer : undefined);
}

describe('probing a logical unit', () => {
  it('finds everything that a thin unit says', async () => {
    const { profile, oddities } = await probe({
      blocks: 4096,
      blockLength: 4096,
      thin: true,
      lbprz: true,
      dpoFua: true,
      writeCache: true,
      ndob: true,
      maximumTransferBlocks: 256,
      granularityBlocks: 8,
      maximumUnmapBlocks: 64,
      unmapGranularityBlocks: 4,
      unmapAlignmentBlocks: 2,
      maximumWriteSameBlocks: 128,
    });
    expect(oddities).to.deep.equal([]);
    expect(profile).to.deep.equal({
      identity: {
        name: 'naa.60010203040506070809010203040506',
        blocks: 4096,
        logicalBlockLength: 4096,
      },
      vendor: 'ISERD',
      product: 'RAM DISK',
      revision: '1',
      serialNumber: 'SERIAL-1',
      peripheralDeviceType: 0,
      blocks: 4096,
      logicalBlockLength: 4096,
      physicalBlockLength: 32768,
      readOnly: false,
      rotational: false,
      dpoFua: true,
      writeCacheEnabled: true,
      commands16: true,
      limits: {
        optimalTransferGranularity: 8,
        maximumTransferLength: 256,
        optimalTransferLength: 0,
        maximumUnmapLbaCount: 64,
        maximumUnmapDescriptorCount: 1,
        optimalUnmapGranularity: 4,
        unmapGranularityAlignment: 2,
        maximumWriteSameLength: 128,
      },
      provisioning: {
        lbpu: true,
        lbpws: true,
        lbprz: true,
        anchorSupported: false,
        provisioningType: 2,
      },
      lbpme: true,
      writeSame16: true,
      writeSameNdob: true,
      getLbaStatus: true,
      synchronizeCache16: true,
    });
    expect(geometryOf(profile, false)).to.deep.equal({
      sizeBytes: 16 << 20,
      logicalBlockLength: 4096,
      preferredLength: 32768,
      readOnly: false,
      rotational: false,
      canTrim: true,
      fastZeroes: true,
      knowsAllocation: true,
    });
    expect(geometryOf(profile, true)).to.include({
      readOnly: true,
      canTrim: false,
      fastZeroes: false,
    });
  });

  it('swallows the unit attentions of a new nexus', async () => {
    const attention = checkCondition(6, 0x2900);
    const { profile } = await probe(small, first(3, OperationCode.testUnitReady, attention));
    expect(profile.blocks).to.equal(1024);
  });

  it('does not follow an endless row of unit attentions', async () => {
    const error = await failureOf(
      probe(small, first(1000, OperationCode.testUnitReady, checkCondition(6, 0x2a01))),
    );
    expect(error).to.be.instanceOf(ProbeError);
    expect(error.message).to.equal('TEST UNIT READY: UNIT ATTENTION 2a/01');
  });

  it('waits for a unit that is becoming ready or busy', async () => {
    for (const answer of [checkCondition(2, 0x0401), statusOnly(0x08), statusOnly(0x28)]) {
      const { profile } = await probe(small, first(4, OperationCode.testUnitReady, answer));
      expect(profile.blocks).to.equal(1024);
    }
  });

  it('gives up when the unit does not become ready', async () => {
    const error = await failureOf(
      probe(small, first(1000, OperationCode.testUnitReady, checkCondition(2, 0x0401))),
    );
    expect(error).to.include({ code: 'not-ready' });
    expect(error.message).to.equal('TEST UNIT READY: still NOT READY 04/01 after 6 attempts');
    const busy = await failureOf(probe(small, first(1000, 0x00, statusOnly(0x08))));
    expect(busy.message).to.contain('still BUSY');
  });

  it('says which command failed with which sense', async () => {
    const error = await failureOf(probe(small, first(1, 0x00, checkCondition(2, 0x3a00))));
    expect(error).to.include({
      code: 'probe-command-failed',
      message: 'TEST UNIT READY: NOT READY 3a/00',
    });
    const medium = await failureOf(probe(small, first(1, 0x9e, checkCondition(3, 0x1100))));
    expect(medium.message).to.equal('READ CAPACITY(16): MEDIUM ERROR 11/00');
    const aca = await failureOf(probe(small, first(1, 0x00, statusOnly(0x30))));
    expect(aca.message).to.equal('TEST UNIT READY: ACA ACTIVE');
  });

  it('says that the unit is reserved', async () => {
    const error = await failureOf(probe(small, first(1, 0x00, statusOnly(0x18))));
    expect(error).to.include({ code: 'reserved' });
  });

  it('repeats a command that another initiator has aborted', async () => {
    const { profile } = await probe(small, first(2, 0x00, statusOnly(0x40)));
    expect(profile.blocks).to.equal(1024);
  });

  it('ends with the session', async () => {
    const session = sessionOf(new RamLogicalUnit(small));
    session.outcome = TaskOutcome.sessionClosed;
    const error = await failureOf(probeLogicalUnit(session, promptProbe));
    expect(error).to.include({ code: 'session-ended', message: 'INQUIRY: the session is closed' });
  });

  it('names the LUNs that there are when the wrong one was asked for', async () => {
    const nothing = new Uint8Array(36);
    nothing[0] = 0x7f;
    const error = await failureOf(probe(small, first(1, inquiry, good(nothing))));
    expect(error).to.include({
      code: 'no-logical-unit',
      message: 'there is no logical unit at this LUN; LUNs of the target: 1',
    });
  });

  it('refuses a controller and other types that are no disks', async () => {
    for (const [type, words] of [
      [0x0c, 'a storage array controller'],
      [0x01, 'type 01h'],
    ] as const) {
      const data = new Uint8Array(36);
      data[0] = type;
      const error = await failureOf(probe(small, first(1, inquiry, good(data))));
      expect(error).to.include({ code: 'not-a-disk' });
      expect(error.message).to.contain(words);
    }
  });

  it('says that the LUNs are unknown when REPORT LUNS is refused', async () => {
    const data = new Uint8Array(36);
    data[0] = 0x0c;
    const error = await failureOf(
      probe({ ...small, lacks: [0xa0] }, first(1, inquiry, good(data))),
    );
    expect(error.message).to.contain('LUNs of the target: unknown');
  });

  it('a unit that knows little has cautious values', async () => {
    const { profile } = await probe({ ...small, lacks: [0x1a, 0x5a, rsoc] }, (cdb) =>
      cdb[0] === inquiry && cdb[1] === 1 ? checkCondition(5, 0x2400) : undefined,
    );
    expect(profile).to.deep.include({
      identity: { name: 'model.ISERD.RAM DISK', blocks: 1024, logicalBlockLength: 512 },
      readOnly: false,
      rotational: true,
      dpoFua: false,
      writeCacheEnabled: undefined,
      writeSame16: undefined,
      writeSameNdob: false,
      getLbaStatus: undefined,
      synchronizeCache16: undefined,
    });
    expect(geometryOf(profile, false)).to.deep.include({
      canTrim: false,
      fastZeroes: false,
      knowsAllocation: false,
      rotational: true,
    });
  });

  it('asks only for pages that are listed', async () => {
    const { unit } = await probe(small, (cdb) =>
      cdb[0] === inquiry && cdb[1] === 1 && cdb[2] === 0
        ? good(Uint8Array.of(0, 0, 0, 1, 0x80))
        : undefined,
    );
    const pages = unit.log.filter((cdb) => cdb[0] === inquiry && cdb[1] === 1).map((cdb) => cdb[2]);
    expect(pages).to.deep.equal([0x00, 0x80]);
  });

  it('leaves a malformed optional page aside, and says so', async () => {
    const { profile, oddities } = await probe(small, (cdb) =>
      cdb[0] === inquiry && cdb[2] === 0xb1 ? good(Uint8Array.of(0, 0xb0, 0, 0)) : undefined,
    );
    expect(profile.rotational).to.equal(true);
    expect(oddities).to.have.length(1);
    expect(oddities[0]).to.contain('VPD page b1h');
  });

  it('falls back to READ CAPACITY(10), and to 10-byte commands when READ(16) is unknown', async () => {
    const { profile } = await probe({ ...small, lacks: [0x109e, 0x88] });
    expect(profile).to.include({ blocks: 1024, commands16: false, lbpme: false });
    const other = await probe({ ...small, lacks: [0x109e] });
    expect(other.profile.commands16).to.equal(true);
  });

  it('refuses a large unit without READ CAPACITY(16)', async () => {
    const error = await failureOf(
      probe({ ...small, lacks: [0x109e] }, (cdb) =>
        cdb[0] === 0x25 ? good(Uint8Array.of(255, 255, 255, 255, 0, 0, 2, 0)) : undefined,
      ),
    );
    expect(error.message).to.contain('too large for READ CAPACITY(10)');
  });

  it('a malformed capacity is a protocol error that names the field', async () => {
    const error = await failureOf(probe(small, first(1, 0x9e, good(new Uint8Array(32)))));
    expect(error).to.be.instanceOf(ProtocolError);
    expect(error.message).to.contain('a logical block length of 0');
  });

  it('finds write protection and the write cache with either MODE SENSE', async () => {
    const options = { ...small, writeProtected: true, writeCache: false, dpoFua: true };
    for (const lacks of [[], [0x1a]]) {
      const { profile } = await probe({ ...options, lacks });
      expect(profile).to.include({ readOnly: true, writeCacheEnabled: false, dpoFua: true });
    }
  });

  it('believes REPORT SUPPORTED OPERATION CODES about what is missing', async () => {
    const { profile } = await probe({ ...small, thin: true, lacks: [0x93, 0x129e, 0x91] });
    expect(profile).to.include({
      writeSame16: false,
      getLbaStatus: false,
      synchronizeCache16: false,
    });
    expect(geometryOf(profile, false)).to.include({ knowsAllocation: false, fastZeroes: false });
  });

  it('takes block limits as a claim of WRITE SAME where there is no such report', async () => {
    const { profile } = await probe({ ...small, maximumWriteSameBlocks: 8, lacks: [rsoc] });
    expect(profile).to.include({ writeSame16: true, writeSameNdob: false });
  });
});
