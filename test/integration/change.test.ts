/** Logical units that change while they are served, and what clients get of a unit's errors; status and log say the same. */
import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { AdditionalSense, SenseKey } from '../../src/scsi/sense.ts';
import { ScsiStatus } from '../../src/scsi/status.ts';
import {
  DaemonFixture,
  mebibyte,
  runIserctl,
  type ServingDaemon,
} from '../helpers/daemon-fixture.ts';
import { NbdSocketClient } from '../helpers/nbd-socket.ts';
import { runOk } from '../helpers/programs.ts';
import {
  checkCondition,
  RamLogicalUnit,
  statusOnly,
  type ScsiAnswer,
} from '../helpers/ram-logical-unit.ts';
import { RamTarget } from '../helpers/ram-target.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

const blockLength = 512;
const blocksOf = (mebibytes: number): number => (mebibytes * mebibyte) / blockLength;
const page = (value: number): Uint8Array => new Uint8Array(4096).fill(value);
/** NBD errors (proto.md: Error values). */
const NbdErrno = { none: 0, permission: 1, io: 5, invalid: 22, noSpace: 28 } as const;

const Attention = {
  reset: 0x2900,
  modeChanged: 0x2a01,
  capacityChanged: 0x2a09,
  lunsChanged: 0x3f0e,
} as const;
const otherName = Uint8Array.of(0x60, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9);

describe('a logical unit that changes', function () {
  this.timeout(60_000);
  const fixture = DaemonFixture.perTest();
  let unit: RamLogicalUnit;
  let target: RamTarget;

  beforeEach(async () => {
    unit = new RamLogicalUnit({ blocks: blocksOf(4), blockLength });
    target = await RamTarget.start(unit);
    fixture.onCleanUp(() => target.stop());
  });

  const volume = async (daemon: ServingDaemon) => (await daemon.status()).volumes[0];
  const sizeIn = async (daemon: ServingDaemon): Promise<number> =>
    (await volume(daemon)).sizeBytes / mebibyte;

  async function sizeForNewClient({ uri }: ServingDaemon): Promise<number> {
    return Number(await runOk('nbdinfo', ['--size', uri])) / mebibyte;
  }

  async function expectGrown(daemon: ServingDaemon, mebibytes: number): Promise<void> {
    await waitUntil('the new size', async () => (await sizeIn(daemon)) === mebibytes);
    expect(await sizeForNewClient(daemon)).to.equal(mebibytes);
  }

  it('shows its new size when a command meets CAPACITY DATA HAS CHANGED', async () => {
    const daemon = await fixture.serve(target.url);
    const client = await NbdSocketClient.connect(daemon.socket);
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.none);
    unit.change({ blocks: blocksOf(6) });
    target.attention(Attention.capacityChanged);
    expect((await client.write(4096, page(2))).error).to.equal(NbdErrno.none);
    await expectGrown(daemon, 6);
    const { error, data } = await client.read(0, 8192);
    expect([error, data[0], data[4096]]).to.deep.equal([NbdErrno.none, 1, 2]);
    const later = await NbdSocketClient.connect(daemon.socket);
    expect((await later.write(6 * mebibyte - 4096, page(3))).error).to.equal(NbdErrno.none);
    expect(unit.content[6 * mebibyte - 1]).to.equal(3);
  });

  it('shows its new size when an asynchronous event says so', async () => {
    const daemon = await fixture.serve(target.url);
    unit.change({ blocks: blocksOf(5) });
    target.asyncEvent(Attention.capacityChanged);
    await expectGrown(daemon, 5);
  });

  it('shows its new size after a reconnect', async () => {
    const daemon = await fixture.serve(target.url);
    await target.stop();
    unit.change({ blocks: blocksOf(5) });
    await target.listen();
    await expectGrown(daemon, 5);
  });

  it('shows its new size even when it does not say a word and nobody uses it', async () => {
    const daemon = await fixture.serve(target.url);
    unit.change({ blocks: blocksOf(5) });
    await expectGrown(daemon, 5);
  });

  it('grows once for all sessions of a volume', async () => {
    const daemon = await fixture.serve(target.url, '--lanes', '3');
    const clients = await Promise.all([0, 1, 2].map(() => NbdSocketClient.connect(daemon.socket)));
    unit.change({ blocks: blocksOf(8) });
    target.attention(Attention.capacityChanged);
    expect((await clients[1].write(0, page(1))).error).to.equal(NbdErrno.none);
    await expectGrown(daemon, 8);
    const answers = await Promise.all(
      clients.map((client, index) => client.write(8 * mebibyte - (index + 1) * 4096, page(4))),
    );
    expect(answers.map(({ error }) => error)).to.deep.equal([0, 0, 0]);
    const changes = (): number => daemon.iserd.log.split('the volume has another size').length - 1;
    await waitUntil('the log says so', () => changes() > 0);
    expect(changes()).to.equal(1);
  });

  it('keeps its size when it shrinks, and says so once', async () => {
    const daemon = await fixture.serve(target.url);
    const client = await NbdSocketClient.connect(daemon.socket);
    unit.change({ blocks: blocksOf(2) });
    target.attention(Attention.capacityChanged);
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.none);
    expect((await client.write(2 * mebibyte - 4096, page(2))).error).to.equal(NbdErrno.none);
    expect((await client.write(2 * mebibyte, page(3))).error).to.equal(NbdErrno.noSpace);
    expect((await client.read(2 * mebibyte, 4096)).error).to.equal(NbdErrno.invalid);
    expect(await sizeIn(daemon)).to.equal(4);
    expect(await sizeForNewClient(daemon)).to.equal(4);
    target.attention(Attention.capacityChanged);
    expect((await client.read(0, 4096)).data[0]).to.equal(1);
    await waitUntil('the log says so', () => daemon.iserd.log.includes(' error: '));
    expect(daemon.iserd.log.match(/ error: .*/g)).to.have.length(1);
    expect(daemon.iserd.log).to.match(/ error: .*has shrunk.*bytes=2097152/);
    unit.change({ blocks: blocksOf(6) });
    target.attention(Attention.capacityChanged);
    expect((await client.write(2 * mebibyte, page(3))).error).to.equal(NbdErrno.none);
    await expectGrown(daemon, 6);
  });

  it('is read-only as long as it is write protected', async () => {
    const daemon = await fixture.serve(target.url);
    const client = await NbdSocketClient.connect(daemon.socket);
    for (const [writeProtected, expected] of [
      [true, NbdErrno.permission],
      [false, NbdErrno.none],
    ] as const) {
      unit.change({ writeProtected });
      target.attention(Attention.modeChanged);
      expect((await client.read(0, 4096)).error).to.equal(NbdErrno.none);
      expect((await volume(daemon)).readOnly).to.equal(writeProtected);
      expect((await client.write(0, page(1))).error).to.equal(expected);
    }
  });

  it('goes on after a reset as if nothing had happened', async () => {
    const daemon = await fixture.serve(target.url);
    const client = await NbdSocketClient.connect(daemon.socket);
    target.attention(Attention.reset);
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.none);
    expect((await volume(daemon)).sessions[0]).to.include({ state: 'up', reconnects: 0 });
  });

  async function expectFailed(daemon: ServingDaemon): Promise<void> {
    await waitUntil('the failure', async () => (await volume(daemon)).state === 'failed');
    const reason =
      /another logical unit answers now \(other-logical-unit\): naa\.6009.*it was naa\.6001/;
    expect((await volume(daemon)).failure).to.match(reason);
    const line = new RegExp(` error: .*${reason.source}`);
    await waitUntil('the log says so', () => line.test(daemon.iserd.log));
  }

  it('into another one under its LUN fails all sessions of the volume and is not written to', async () => {
    const daemon = await fixture.serve(target.url, '--lanes', '2');
    const clients = await Promise.all([0, 1].map(() => NbdSocketClient.connect(daemon.socket)));
    const other = new RamLogicalUnit({ blocks: blocksOf(4), blockLength, designator: otherName });
    target.unit = other;
    target.attention(Attention.lunsChanged);
    expect((await clients[0].write(0, page(1))).error).to.equal(NbdErrno.io);
    await expectFailed(daemon);
    await waitUntil('both sessions have ended', async () =>
      (await volume(daemon)).sessions.every(({ state }) => state === 'closed'),
    );
    for (const client of clients) {
      expect((await client.write(0, page(2))).error).to.equal(NbdErrno.io);
      expect((await client.read(0, 4096)).error).to.equal(NbdErrno.io);
    }
    expect(other.operations.filter((code) => code === 0x8a || code === 0x2a)).to.deep.equal([]);
    const { code, stderr } = await daemon.iserd.stop();
    expect(code, stderr).to.equal(0);
  });

  it('into another one during an outage fails the volume, and is not written to', async () => {
    const daemon = await fixture.serve(target.url, '--lanes', '2');
    const client = await NbdSocketClient.connect(daemon.socket);
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.none);
    await target.stop();
    const writes = Promise.all([1, 2, 3].map((value) => client.write(value * 4096, page(value))));
    const other = new RamLogicalUnit({ blocks: blocksOf(4), blockLength, designator: otherName });
    target.unit = other;
    await target.listen();
    expect((await writes).map(({ error }) => error)).to.deep.equal(new Array(3).fill(NbdErrno.io));
    await expectFailed(daemon);
    expect(other.content.every((byte) => byte === 0)).to.equal(true);
  });
});

describe('errors of a logical unit', function () {
  this.timeout(60_000);
  const fixture = DaemonFixture.perTest();
  const { notReady, mediumError, hardwareError, illegalRequest, dataProtect } = SenseKey;
  const { abortedCommand, volumeOverflow, recoveredError, unitAttention, miscompare } = SenseKey;

  interface Row {
    readonly name: string;
    readonly writes: boolean;
    readonly answer: ScsiAnswer;
    /** How often; then the command is carried out. Default: always. */
    readonly times?: number;
    /** The name that libnbd has for the error; `ok`: none. */
    readonly expected: string;
  }

  const row = (
    name: string,
    writes: boolean,
    answer: ScsiAnswer,
    expected: string,
    times = Infinity,
  ): Row => ({ name, writes, answer, expected, times });

  const rows: readonly Row[] = [
    row('write protected', true, checkCondition(dataProtect, 0x2700), 'EPERM'),
    row(
      'space allocation failed',
      true,
      checkCondition(dataProtect, AdditionalSense.spaceAllocationFailedWriteProtect),
      'ENOSPC',
    ),
    row('unrecovered read error', false, checkCondition(mediumError, 0x1100), 'EIO'),
    row('write error', true, checkCondition(mediumError, 0x0c00), 'EIO'),
    row('internal target failure', false, checkCondition(hardwareError, 0x4400), 'EIO'),
    row('LBA out of range, read', false, checkCondition(illegalRequest, 0x2100), 'EINVAL'),
    row('LBA out of range, write', true, checkCondition(illegalRequest, 0x2100), 'ENOSPC'),
    row('no such logical unit', false, checkCondition(illegalRequest, 0x2500), 'EIO'),
    row('volume overflow', true, checkCondition(volumeOverflow, 0), 'ENOSPC'),
    row('miscompare', true, checkCondition(miscompare, 0x1d00), 'EIO'),
    row('not ready, manual intervention', false, checkCondition(notReady, 0x0403), 'EIO'),
    row('no medium', false, checkCondition(notReady, 0x3a00), 'EIO'),
    row('reservation conflict', true, statusOnly(ScsiStatus.reservationConflict), 'EIO'),
    row('aborted for ever', true, checkCondition(abortedCommand, 0x4b00), 'EIO'),
    row('aborted twice', true, checkCondition(abortedCommand, 0x4b00), 'ok', 2),
    row('becoming ready', false, checkCondition(notReady, 0x0401), 'ok', 3),
    row('format in progress', true, checkCondition(notReady, 0x0404), 'ok', 1),
    row('busy', true, statusOnly(ScsiStatus.busy), 'ok', 2),
    row('task aborted', true, statusOnly(ScsiStatus.taskAborted), 'ok', 1),
    row('reset', false, checkCondition(unitAttention, 0x2900), 'ok', 1),
    row('recovered error', true, checkCondition(recoveredError, 0x1701), 'ok', 1),
  ];

  it('reach libnbd as the errno that says it', async () => {
    const unit = new RamLogicalUnit({ blocks: blocksOf(4), blockLength });
    const target = await RamTarget.start(unit);
    fixture.onCleanUp(() => target.stop());
    const daemon = await fixture.serve(target.url);
    const met = new Array<number>(rows.length).fill(0);
    // Every row has a page of its own.
    unit.fault = (cdb) => {
      if (cdb[0] !== 0x88 && cdb[0] !== 0x8a) return undefined;
      const lba = Number(new DataView(cdb.buffer, cdb.byteOffset).getBigUint64(2));
      const index = (lba * blockLength) / 4096;
      const { answer, times = 0 } = rows[index];
      return met[index]++ < times ? answer : undefined;
    };
    const script = [
      'import nbd',
      'h = nbd.NBD()',
      `h.connect_uri(${JSON.stringify(daemon.uri)})`,
      `for i, writes in enumerate([${rows.map(({ writes }) => (writes ? 1 : 0)).join(',')}]):`,
      '  try:',
      '    h.pwrite(bytes(4096), i * 4096) if writes else h.pread(4096, i * 4096)',
      '    print("ok")',
      '  except nbd.Error as error:',
      '    print(error.errno)',
      'h.shutdown()',
    ].join('\n');
    // Debian's own Python is the one that has libnbd.
    const printed = (await runOk('/usr/bin/python3', ['-c', script])).trim().split('\n');
    expect(rows.map(({ name }, index) => `${name}: ${printed[index]}`)).to.deep.equal(
      rows.map(({ name, expected }) => `${name}: ${expected}`),
    );
  });
});

describe('a logical unit of tgt', function () {
  this.timeout(60_000);
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  let daemon: ServingDaemon;
  let client: NbdSocketClient;

  beforeEach(async () => {
    tgt = await fixture.tgt({ luns: [{ sizeBytes: 8 * mebibyte }] });
    daemon = await fixture.serve(tgt.urls[0]);
    client = await NbdSocketClient.connect(daemon.socket);
  });

  async function update(...params: readonly string[]): Promise<void> {
    const unit = ['--op', 'update', '--mode', 'logicalunit', '--tid', '1', '--lun', '1'];
    for (const param of params) await tgt.admin(...unit, '--params', param);
  }

  it('that has grown shows its new size, and can be written up to its new end', async () => {
    await truncate(tgt.files[0], 12 * mebibyte);
    await update('online=0', `path=${tgt.files[0]}`, 'online=1');
    await waitUntil(
      'the new size',
      async () => (await daemon.status()).volumes[0].sizeBytes === 12 * mebibyte,
    );
    expect((await client.write(12 * mebibyte - 4096, page(1))).error).to.equal(NbdErrno.none);
    expect(readFileSync(tgt.files[0])[12 * mebibyte - 1]).to.equal(1);
  });

  it('whose LUN is given to another one under the session is noticed, though tgt does not say a word', async () => {
    const unit = ['--mode', 'logicalunit', '--tid', '1', '--lun', '1'];
    await tgt.admin('--op', 'delete', ...unit);
    await tgt.admin('--op', 'new', ...unit, '-b', fixture.file('x'.repeat(8 * mebibyte)));
    await update('scsi_sn=another,scsi_id=another');
    const isFailed = async (): Promise<boolean> =>
      (await daemon.status()).volumes[0].state === 'failed';
    await waitUntil('the volume fails', isFailed);
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.io);
  });

  it('that is made read-only refuses writes with EPERM, and takes them again later', async () => {
    await update('readonly=1');
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.permission);
    expect((await client.read(0, 4096)).error).to.equal(NbdErrno.none);
    await update('readonly=0');
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.none);
  });

  it('that is another one after an outage is not written to, and the volume says why', async () => {
    expect((await client.write(0, page(1))).error).to.equal(NbdErrno.none);
    await tgt.kill();
    const pattern = Buffer.alloc(8 * mebibyte, 'another disk ');
    const otherFile = fixture.file(pattern.toString('latin1'));
    const checksum = (): string =>
      createHash('sha256').update(readFileSync(otherFile)).digest('hex');
    const before = checksum();
    const writes = Promise.all([1, 2, 3].map((value) => client.write(value * 4096, page(value))));
    await tgt.launch({ file: otherFile, params: 'scsi_sn=another,scsi_id=another' });
    expect((await writes).map(({ error }) => error)).to.deep.equal(new Array(3).fill(NbdErrno.io));
    expect((await client.write(0, page(4))).error).to.equal(NbdErrno.io);
    const volume = async () => (await daemon.status()).volumes[0];
    await waitUntil('the volume fails', async () => (await volume()).state === 'failed');
    expect((await volume()).failure).to.match(/another logical unit .*other-logical-unit/);
    expect(checksum()).to.equal(before);
    const { stdout } = await runIserctl('status', '--socket', daemon.control);
    expect(stdout).to.match(/^volume serve is failed: .*another logical unit/m);
  });
});
