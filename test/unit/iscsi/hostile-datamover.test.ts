import { expect } from 'chai';
import { TaskOutcome } from '../../../src/iscsi/task-table.ts';
import {
  each,
  type HostileCase,
  readLength,
  runCase,
  writeLength,
} from '../../helpers/scripted-cases.ts';
import { loginTemplate } from '../../helpers/session-fixture.ts';
import { Opcode } from '../../../src/wire/bhs.ts';

const sense = Uint8Array.of(0, 18, 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0);

const preferDigests = {
  login: { ...loginTemplate, headerDigest: 'prefer-crc32c', dataDigest: 'prefer-crc32c' },
} as const;

/** What exists on TCP alone. */
const onTcp: readonly HostileCase[] = [
  {
    name: 'notices a wrong header digest',
    options: preferDigests,
    keys: (keys) => keys.map((key) => (key === 'HeaderDigest=None' ? 'HeaderDigest=CRC32C' : key)),
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: none.itt }, { digestError: 'header' });
    },
    end: 'header-digest-error',
  },
  {
    name: 'notices a wrong data digest of Data-In',
    options: preferDigests,
    keys: (keys) => keys.map((key) => (key === 'DataDigest=None' ? 'DataDigest=CRC32C' : key)),
    script: ({ target, read }) => {
      target.send(
        { opcode: Opcode.dataIn, itt: read.itt, data: new Uint8Array(readLength) },
        { digestError: 'data' },
      );
    },
    end: 'data-digest-error',
  },
  {
    name: 'notices a wrong data digest of sense data',
    options: preferDigests,
    keys: (keys) => keys.map((key) => (key === 'DataDigest=None' ? 'DataDigest=CRC32C' : key)),
    script: ({ target, none }) => {
      target.send(
        { opcode: Opcode.scsiResponse, itt: none.itt, status: 2, data: sense },
        { digestError: 'data' },
      );
    },
    end: 'data-digest-error',
  },
  {
    name: 'refuses Data-In for a write',
    script: ({ target, write }) => {
      target.send({ opcode: Opcode.dataIn, itt: write.itt, data: new Uint8Array(512) });
    },
    end: 'protocol-error',
    detail: /Data-In for a command that reads nothing/,
  },
  {
    name: 'refuses Data-In beyond the transfer',
    script: ({ target, read }) => {
      target.send({ opcode: Opcode.dataIn, itt: read.itt, data: new Uint8Array(4097) });
    },
    end: 'protocol-error',
    detail: /exceed the expected transfer of 4096/,
  },
  {
    name: 'refuses Data-In whose offset would wrap around',
    script: ({ target, read }) => {
      target.send({
        opcode: Opcode.dataIn,
        itt: read.itt,
        bufferOffset: 0xffffff00,
        data: new Uint8Array(512),
      });
    },
    end: 'protocol-error',
    detail: /BufferOffset 4294967040/,
  },
  {
    name: 'refuses Data-In with a gap',
    script: ({ target, read }) => {
      target.send({
        opcode: Opcode.dataIn,
        itt: read.itt,
        bufferOffset: 512,
        data: new Uint8Array(512),
      });
    },
    end: 'protocol-error',
    detail: /BufferOffset 512 of a Data-In, expected 0/,
  },
  {
    name: 'refuses Data-In that overlaps what has come',
    script: ({ target, read }) => {
      const { opcode, itt } = { opcode: Opcode.dataIn, itt: read.itt };
      target.send({ opcode, itt, flags: 0, data: new Uint8Array(1024) });
      target.send({ opcode, itt, dataSn: 1, bufferOffset: 512, data: new Uint8Array(512) });
    },
    end: 'protocol-error',
    detail: /BufferOffset 512 of a Data-In, expected 1024/,
  },
  {
    name: 'refuses Data-In out of its order',
    script: ({ target, read }) => {
      target.send({
        opcode: Opcode.dataIn,
        itt: read.itt,
        dataSn: 1,
        data: new Uint8Array(512),
      });
    },
    end: 'protocol-error',
    detail: /DataSN 1 of a Data-In, expected 0/,
  },
  {
    name: 'refuses Data-In with status that is not final',
    script: ({ target, read }) => {
      target.send({
        opcode: Opcode.dataIn,
        itt: read.itt,
        flags: 0x01,
        data: new Uint8Array(512),
      });
    },
    end: 'protocol-error',
    detail: /S bit but without the F bit/,
  },
  {
    name: 'counts no byte of a read that is GOOD without any data',
    script: ({ target, read }) => {
      target.good(read);
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.session.tasks.readPlaced[tasks[0]]).to.equal(0);
    },
  },
  {
    name: 'refuses an R2T for a read',
    script: ({ target, read }) => {
      target.send({ opcode: Opcode.r2t, itt: read.itt, ttt: 1, word44: 512 });
    },
    end: 'protocol-error',
    detail: /R2T for a command that writes nothing/,
  },
  {
    name: 'refuses an R2T with a data segment',
    script: ({ target, write }) => {
      target.send({
        opcode: Opcode.r2t,
        itt: write.itt,
        ttt: 1,
        word44: 512,
        data: new Uint8Array(4),
      });
    },
    end: 'protocol-error',
    detail: /R2T with a data segment/,
  },
  {
    name: 'refuses an R2T for nothing',
    script: ({ target, write }) => {
      target.send({ opcode: Opcode.r2t, itt: write.itt, ttt: 1 });
    },
    end: 'protocol-error',
    detail: /DesiredDataTransferLength 0/,
  },
  {
    name: 'refuses an R2T above MaxBurstLength',
    script: ({ target, write }) => {
      target.send({ opcode: Opcode.r2t, itt: write.itt, ttt: 1, word44: 262_145 });
    },
    end: 'protocol-error',
    detail: /MaxBurstLength 262144/,
  },
  {
    name: 'refuses an R2T beyond the transfer: nothing of anybody else is sent',
    script: ({ target, write }) => {
      target.send({
        opcode: Opcode.r2t,
        itt: write.itt,
        ttt: 1,
        bufferOffset: writeLength - 512,
        word44: 1024,
      });
    },
    end: 'protocol-error',
    detail: /exceed the expected transfer of 20000/,
  },
  {
    name: 'refuses an R2T out of its order',
    script: ({ target, write }) => {
      target.send({ opcode: Opcode.r2t, itt: write.itt, ttt: 1, dataSn: 1, word44: 512 });
    },
    end: 'protocol-error',
    detail: /R2TSN 1, expected 0/,
  },
  {
    name: 'refuses an R2T without a tag',
    script: ({ target, write }) => {
      target.send({ opcode: Opcode.r2t, itt: write.itt, word44: 512 });
    },
    end: 'protocol-error',
    detail: /R2T without a TargetTransferTag/,
  },
  {
    name: 'sends data segments no longer than the target takes, whatever was expected of it before',
    keys: (keys) => keys.map((key) => key.replace(/^(MaxRecvDataSegmentLength)=.*/, '$1=512')),
    script: ({ target, write }) => {
      target.send({
        opcode: Opcode.r2t,
        itt: write.itt,
        ttt: 1,
        bufferOffset: 512,
        word44: writeLength - 512,
      });
    },
    end: 'lives',
    then: ({ target }) => {
      const lengths = target.take().map(({ data }) => data.length);
      expect(lengths).to.have.lengthOf(39);
      expect(Math.max(...lengths)).to.equal(512);
    },
  },
  {
    name: 'sends nothing unsolicited to a target that wants R2Ts, although it has offered to',
    options: { login: { ...loginTemplate, initialR2t: false } },
    keys: (keys) => keys.map((key) => key.replace(/^ImmediateData=Yes$/, 'ImmediateData=No')),
    script: ({ lane }) => {
      lane.reactor.run();
    },
    end: 'lives',
    then: ({ target }) => {
      const dataOuts = target.requests.filter(({ opcode }) => opcode === 0x05);
      expect(dataOuts).to.deep.equal([]);
    },
  },
  {
    name: 'refuses more R2Ts at once than were agreed on',
    // So many Data-Out PDUs to each R2T that the target's silence keeps some from being sent.
    keys: (keys) => keys.map((key) => key.replace(/^(MaxRecvDataSegmentLength)=.*/, '$1=512')),
    script: ({ target, write }) => {
      target.stall();
      for (const dataSn of [0, 1, 2]) {
        target.send({
          opcode: Opcode.r2t,
          itt: write.itt,
          ttt: 1,
          dataSn,
          word44: writeLength,
        });
      }
    },
    end: 'protocol-error',
    detail: /more R2Ts outstanding than MaxOutstandingR2T 1/,
  },
  {
    name: 'serves a hundred R2Ts for the same bytes, one after the other',
    script: ({ lane, target, write }) => {
      for (let dataSn = 0; dataSn < 100; dataSn++) {
        target.send({ opcode: Opcode.r2t, itt: write.itt, ttt: 1, dataSn, word44: 4096 });
        lane.reactor.run();
      }
    },
    end: 'lives',
  },
  {
    name: 'refuses noise',
    script: ({ target }) => {
      target.raw(new Uint8Array(5000).fill(0xff));
    },
    end: 'protocol-error',
    detail: /TotalAHSLength/,
  },
  {
    name: 'refuses zeroes',
    script: ({ target }) => {
      target.raw(new Uint8Array(100_000));
    },
    end: 'protocol-error',
    detail: /opcode 0x0 is not a target's/,
  },
  {
    name: 'refuses a web server',
    script: ({ target }) => {
      target.raw(Buffer.from(`HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n${'x'.repeat(400)}`));
    },
    end: 'protocol-error',
  },
  {
    name: 'understands an answer that comes byte by byte',
    script: ({ lane, target, read, none }) => {
      target.mutate((message) => {
        for (const byte of message) {
          target.raw(Uint8Array.of(byte));
          lane.reactor.run();
        }
        return new Uint8Array(0);
      });
      target.good(none);
      target.place(read, new Uint8Array(readLength));
      target.good(read);
    },
    end: 'lives',
    then: ({ volume, tasks }) => {
      expect(volume.outcomes.get(tasks[2])).to.equal(TaskOutcome.answered);
      expect(volume.session.tasks.readPlaced[tasks[0]]).to.equal(readLength);
    },
  },
  {
    name: 'notices the end within a header',
    script: ({ target, none }) => {
      target.mutate((message) => message.slice(0, 20));
      target.good(none);
      target.close();
    },
    end: 'peer-closed',
  },
  {
    name: 'notices the end within a data segment',
    script: ({ target, read }) => {
      target.mutate((message) => message.slice(0, 2000));
      target.place(read, new Uint8Array(readLength));
      target.close();
    },
    end: 'peer-closed',
  },
  {
    name: 'gives up a target that stops within a data segment',
    script: async ({ lane, target, read, volume }) => {
      target.mutate((message) => message.slice(0, 2000));
      target.place(read, new Uint8Array(readLength));
      volume.refusing = true;
      await lane.pass(15_000);
      volume.refusing = false;
    },
    end: 'nop-timeout',
  },
  {
    name: 'refuses a ping echo larger than its receive buffer',
    script: ({ target }) => {
      target.send({ opcode: Opcode.nopIn, data: new Uint8Array(65_100) });
    },
    end: 'protocol-error',
    detail: /DataSegmentLength 65100 exceeds/,
  },
];

/** What exists over iSER alone. */
const overIser: readonly HostileCase[] = [
  {
    name: 'refuses a message shorter than its headers',
    script: ({ target }) => {
      target.raw(new Uint8Array(75).fill(0x10));
    },
    end: 'protocol-error',
    detail: /message of 75 bytes, iSER header and BHS need 76/,
  },
  {
    name: 'refuses a message of one byte',
    script: ({ target }) => {
      target.raw(Uint8Array.of(0x10));
    },
    end: 'protocol-error',
    detail: /message of 1 bytes/,
  },
  {
    name: 'refuses a data segment longer than the message',
    script: ({ target, none }) => {
      target.good(none, { dataSegmentLength: 4096, data: sense });
    },
    end: 'protocol-error',
    detail: /DataSegmentLength 4096 make 4172/,
  },
  {
    name: 'refuses a message longer than its data segment',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: none.itt }, { iserPadding: 4 });
    },
    end: 'protocol-error',
    detail: /message of 80 bytes/,
  },
  {
    name: 'takes a message with padding and one without',
    script: ({ target, none }) => {
      target.good(none, { status: 2, data: sense.slice(0, 19) });
      target.send({ opcode: Opcode.asyncMessage, bytes: { 36: 255 } }, { iserPadding: 3 });
    },
    end: 'lives',
  },
  {
    name: 'refuses additional header segments that are not there',
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: none.itt, bytes: { 4: 2 } });
    },
    end: 'protocol-error',
    detail: /TotalAHSLength and DataSegmentLength/,
  },
  ...(
    [
      ['Hello', 0x20],
      ['HelloReply', 0x30],
      ['type 0xf', 0xf0],
      ['type 0x0', 0x00],
    ] as const
  ).map(([what, iserType]): HostileCase => ({
    name: `refuses an iSER header of ${what}`,
    script: ({ target, none }) => {
      target.send({ opcode: Opcode.scsiResponse, itt: none.itt }, { iserType });
    },
    end: 'protocol-error',
    detail: new RegExp(`iSER header of ${what}, expected a control-type PDU`),
  })),
  {
    name: 'passes over STags in the header of an answer',
    script: ({ target, none }) => {
      target.mutate((message) => message.fill(0xff, 4, 28));
      target.commands.splice(target.commands.indexOf(none), 1);
      target.send({ opcode: Opcode.scsiResponse, itt: none.itt }, { iserType: 0x1c });
    },
    end: 'lives',
  },
  {
    name: 'refuses Data-In',
    script: ({ target, read }) => {
      target.send({ opcode: Opcode.dataIn, itt: read.itt, data: new Uint8Array(512) });
    },
    end: 'protocol-error',
    detail: /opcode 0x25 does not exist over iSER/,
  },
  {
    name: 'refuses an R2T',
    script: ({ target, write }) => {
      target.send({ opcode: Opcode.r2t, itt: write.itt, ttt: 1, word44: 512 });
    },
    end: 'protocol-error',
    detail: /opcode 0x31 does not exist over iSER/,
  },
  {
    name: 'loses the connection to a message larger than its receive buffers',
    script: ({ target }) => {
      target.raw(new Uint8Array(9000).fill(0x10));
    },
    end: 'completion-error',
    detail: /LOC_LEN_ERR/,
  },
];

const over =
  (transport: 'tcp' | 'iser') =>
  (hostile: HostileCase): HostileCase => ({ ...hostile, over: transport });

describe('a datamover with a hostile target', () => {
  describe('on TCP', () => {
    each(onTcp.map(over('tcp')), runCase);
  });
  describe('over iSER', () => {
    each(overIser.map(over('iser')), runCase);
  });
});
