import { expect } from 'chai';
import { TaskOutcome } from '../../../src/iscsi/task-table.ts';
import { each, type HostileCase, readLength, runCase } from '../../helpers/scripted-cases.ts';
import { Opcode } from '../../../src/wire/bhs.ts';

const sense = Uint8Array.of(0, 18, 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0);

/** Lies in the fields that every PDU has. */
const headers: readonly HostileCase[] = [
  {
    name: "refuses an initiator's opcode",
    script: ({ target, none }) => {
      target.send({ opcode: 0x01, itt: none.itt });
    },
    end: 'protocol-error',
    detail: /opcode 0x1 is not a target's/,
  },
  {
    name: 'refuses an opcode that does not exist',
    script: ({ target, none }) => {
      target.send({ opcode: 0x2a, itt: none.itt });
    },
    end: 'protocol-error',
    detail: /opcode 0x2a is not a target's/,
  },
  {
    name: 'refuses a login response after the login',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.loginResponse, flags: 0x87, itt: none.itt });
    },
    end: 'protocol-error',
    detail: /opcode 0x23 in the full feature phase/,
  },
  {
    name: 'refuses a tag that nobody has',
    script: ({ target }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: 0xdeadbeef });
    },
    end: 'protocol-error',
    detail: /0xdeadbeef belongs to no outstanding PDU/,
  },
  {
    name: 'refuses a SCSI response without a tag',
    script: ({ target }) => {
      target.send({ opcode: Opcode.scsiResponse });
    },
    end: 'protocol-error',
    detail: /0xffffffff belongs to no outstanding PDU/,
  },
  {
    name: 'refuses the tag of a slot in another generation',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: (none.itt + 0x1000) >>> 0 });
    },
    end: 'protocol-error',
    detail: /belongs to no outstanding PDU/,
  },
  {
    name: 'refuses the same answer twice',
    script: ({ target, none }) => {
      target.good(none);
      target.good(none);
    },
    end: 'protocol-error',
    detail: /belongs to no outstanding PDU/,
    then: ({ volume, tasks }) => {
      expect(volume.outcomes.get(tasks[2])).to.equal(TaskOutcome.answered);
    },
  },
  {
    name: 'refuses a Text Response to a command',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.textResponse, itt: none.itt });
    },
    end: 'protocol-error',
    detail: /opcode 0x1, the answer is for 0x4/,
  },
  {
    name: 'refuses a Logout Response that nobody asked for',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.logoutResponse, itt: none.itt });
    },
    end: 'protocol-error',
    detail: /the answer is for 0x6/,
  },
  {
    name: 'refuses a Task Management Response that nobody asked for',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.taskManagementResponse, itt: none.itt });
    },
    end: 'protocol-error',
    detail: /the answer is for 0x2/,
  },
  {
    name: 'refuses a NOP-In with the tag of a command',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.nopIn, itt: none.itt });
    },
    end: 'protocol-error',
    detail: /the answer is for 0x0/,
  },
  {
    name: 'refuses a SCSI Response with the tag of a ping',
    script: async ({ lane, target }) => {
      await lane.pass(6000);
      target.send({ opcode: Opcode.scsiResponse, itt: target.expect(Opcode.nopOut).itt });
    },
    end: 'protocol-error',
    detail: /opcode 0x0, the answer is for 0x1/,
  },
  {
    name: 'refuses a DataSegmentLength beyond what we have declared',
    script: ({ target, none }) => {
      target.send({
        opcode: Opcode.scsiResponse,
        itt: none.itt,
        dataSegmentLength: 0xffffff,
      });
    },
    end: 'protocol-error',
    detail: /DataSegmentLength 16777215 exceeds the declared limit/,
  },
  {
    name: 'refuses additional header segments of 1020 bytes',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: none.itt, ahsWords: 255 });
    },
    end: 'protocol-error',
    detail: /TotalAHSLength 1020 exceeds the limit/,
  },
  {
    name: 'passes over additional header segments of 256 bytes',
    script: ({ target, none }) => {
      target.good(none, { ahsWords: 64 });
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.outcomes.get(tasks[2])).to.equal(TaskOutcome.answered);
    },
  },
];

/** Lies about commands. */
const answers: readonly HostileCase[] = [
  {
    name: 'refuses residual overflow and underflow at once',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: none.itt, flags: 0x86 });
    },
    end: 'protocol-error',
    detail: /both residual flags/,
  },
  {
    name: 'refuses an underflow larger than the transfer',
    script: ({ target, read }) => {
      target.send({
        opcode: Opcode.scsiResponse,
        itt: read.itt,
        flags: 0x82,
        word44: readLength + 1,
      });
    },
    end: 'protocol-error',
    detail: /ResidualCount 4097 of an underflow exceeds/,
  },
  {
    name: 'counts no byte of a read that underflows altogether',
    script: ({ target, read }) => {
      target.good(read, { flags: 0x82, word44: readLength });
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.session.tasks.readPlaced[tasks[0]]).to.equal(0);
    },
  },
  {
    name: 'takes no more sense data than there is, whatever its length says',
    script: ({ target, none }) => {
      const lie = sense.slice();
      lie.set([0xff, 0xff]);
      target.good(none, { status: 2, data: lie });
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.session.tasks.senseLength[tasks[2]]).to.equal(18);
    },
  },
  {
    name: 'takes a sense segment of a single byte for none',
    script: ({ target, none }) => {
      target.good(none, { status: 2, data: Uint8Array.of(9) });
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.session.tasks.senseLength[tasks[2]]).to.equal(0);
    },
  },
  {
    name: 'hands on a status that does not exist',
    script: ({ target, none }) => {
      target.good(none, { status: 0x55 });
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.session.tasks.scsiStatus[tasks[2]]).to.equal(0x55);
    },
  },
  {
    name: "fails a command with a vendor's own response code",
    script: ({ target, none }) => {
      target.good(none, { response: 0x80 });
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.outcomes.get(tasks[2])).to.equal(TaskOutcome.rejected);
    },
  },
  {
    name: 'fails the command that a Reject names',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.reject, response: 9, data: none.bhs });
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.outcomes.get(tasks[2])).to.equal(TaskOutcome.rejected);
    },
  },
  {
    name: 'notes a Reject of a command that it does not know',
    script: ({ target, none }) => {
      const unknown = none.bhs.slice();
      unknown.set([0xde, 0xad, 0xbe, 0xef], 16);
      target.send({ opcode: Opcode.reject, response: 9, data: unknown });
    },
    end: 'lives',
    then: ({ volume }) => {
      expect(volume.kinds('reject')).to.have.lengthOf(1);
    },
  },
  {
    name: 'refuses a Reject without the header that it is about',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.reject, response: 9, data: none.bhs.slice(0, 47) });
    },
    end: 'protocol-error',
    detail: /Reject: data segment of 47 bytes/,
  },
  {
    name: 'logs in anew when a Reject speaks of a data digest error',
    script: ({ target, write }) => {
      target.send({ opcode: Opcode.reject, response: 2, data: write.bhs });
    },
    end: 'data-digest-error',
  },
  {
    name: 'sends no more commands than it has room for, however far the window reaches',
    script: ({ target, volume }) => {
      target.send({ opcode: Opcode.nopIn, maxCmdSn: (target.expCmdSn + 0x7fffffff) >>> 0 });
      for (let i = 0; i < 12; i++) volume.submit('none');
    },
    end: 'lives',
    then: ({ target }) => {
      target.take();
      expect(target.commands.length).to.be.at.most(16);
    },
  },
  {
    name: 'passes over a command window that shrinks or makes no sense',
    script: ({ lane, target, none }) => {
      const { expCmdSn } = target;
      target.send({ opcode: Opcode.nopIn, maxCmdSn: (expCmdSn - 2) >>> 0 });
      target.send({ opcode: Opcode.nopIn, expCmdSn: 0x80000000, maxCmdSn: 0 });
      target.send({ opcode: Opcode.nopIn, expCmdSn: 0xffffffff, maxCmdSn: 0xfffffff0 });
      lane.reactor.run();
      target.good(none);
    },
    end: 'lives',
  },
];

/** Messages that nobody asked for. */
const unasked: readonly HostileCase[] = [
  {
    name: 'answers a NOP-In with its own tag and LUN',
    script: ({ target }) => {
      target.send({ opcode: Opcode.nopIn, ttt: 0x77, lun: 0x0009000000000000n });
    },
    end: 'lives',
    then: ({ target }) => {
      const answer = target.expect(Opcode.nopOut);
      expect([answer.word20, answer.lun, answer.itt]).to.deep.equal([
        0x77,
        0x0009000000000000n,
        0xffffffff,
      ]);
    },
  },
  {
    name: 'bounds what a thousand NOP-Ins that want an answer cost',
    script: async ({ lane, target, volume }) => {
      const before = lane.pool.statistics.usedBytes;
      target.stall();
      for (let i = 0; i < 1000; i++) target.send({ opcode: Opcode.nopIn, ttt: i });
      await lane.rest();
      expect(lane.pool.statistics.usedBytes).to.equal(before);
      volume.refusing = true;
      await lane.pass(30_000);
      volume.refusing = false;
    },
    end: 'nop-timeout',
  },
  {
    name: 'leaves when the connection is announced to drop',
    script: ({ target }) => {
      target.send({ opcode: Opcode.asyncMessage, bytes: { 36: 2, 41: 1, 43: 1 } });
    },
    end: 'peer-closed',
    detail: /asynchronous event 2/,
  },
  {
    name: 'leaves when the session is announced to drop',
    script: ({ target }) => {
      target.send({ opcode: Opcode.asyncMessage, bytes: { 36: 3 } });
    },
    end: 'peer-closed',
    detail: /asynchronous event 3/,
  },
  {
    name: 'waits no longer than a minute before a login, whatever the target asks for',
    script: ({ target }) => {
      target.send({
        opcode: Opcode.asyncMessage,
        bytes: { 36: 2, 40: 0xff, 41: 0xff, 42: 0xff, 43: 0xff },
      });
    },
    end: 'peer-closed',
  },
  {
    name: 'logs out when told to, without any time to do so',
    script: async ({ lane, target }) => {
      target.send({ opcode: Opcode.asyncMessage, bytes: { 36: 1 } });
      await lane.rest();
      await lane.pass(1000);
      const { itt } = target.expect(Opcode.logoutRequest);
      target.send({ opcode: Opcode.logoutResponse, itt, bytes: { 40: 0xff, 41: 0xff } });
    },
    end: 'target-requested-logout',
  },
  {
    name: 'logs out when told to, though the logout is never answered',
    script: async ({ lane, target }) => {
      target.send({ opcode: Opcode.asyncMessage, bytes: { 36: 1, 43: 1 } });
      await lane.pass(8000);
    },
    end: 'target-requested-logout',
  },
  {
    name: 'passes over an asynchronous event that does not exist',
    script: ({ target }) => {
      target.send({ opcode: Opcode.asyncMessage, bytes: { 36: 200 } });
    },
    end: 'lives',
  },
  {
    name: 'passes over an asynchronous SCSI event without sense data',
    script: ({ target }) => {
      target.send({ opcode: Opcode.asyncMessage });
      target.send({ opcode: Opcode.asyncMessage, data: Uint8Array.of(0xff, 0xff, 0x70) });
    },
    end: 'lives',
  },
];

/** Targets that end, or that do not. */
const silences: readonly HostileCase[] = [
  {
    name: 'notices a target that closes',
    script: ({ target }) => {
      target.close();
    },
    end: 'peer-closed',
  },
  {
    name: 'notices a target that is silent',
    script: async ({ lane, target, volume }) => {
      target.stall();
      volume.refusing = true;
      await lane.pass(15_000);
      volume.refusing = false;
    },
    end: 'nop-timeout',
  },
  {
    name: 'gives up a target that answers pings and nothing else',
    options: { timeouts: { commandTimeoutMs: 5000, abortTimeoutMs: 2000, resetTimeoutMs: 2000 } },
    script: async ({ lane, target, volume }) => {
      for (let second = 0; second < 20; second++) {
        if (volume.ends.length === 0) target.pong();
        await lane.pass(1000);
      }
    },
    end: 'task-management-timeout',
  },
];

describe('a session with a hostile target', () => {
  describe('that lies in a header', () => {
    each(headers, runCase);
  });
  describe('that lies about commands', () => {
    each(answers, runCase);
  });
  describe('that speaks unasked', () => {
    each(unasked, runCase);
  });
  describe('that ends or is silent', () => {
    each(silences, runCase);
  });
});
