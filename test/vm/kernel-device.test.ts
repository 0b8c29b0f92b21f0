/** KernelDevice against the kernel's own NBD client. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { KernelDevice, type KernelDeviceRequest } from '../../daemon/device/kernel-device.ts';
import { system } from '../../daemon/system.ts';
import type { NativeError } from '../../src/reactor/native.ts';
import { NbdRamServer } from '../helpers/nbd-ram-server.ts';
import { runOk } from '../helpers/programs.ts';
import { diskGeometry } from '../helpers/geometry.ts';

const sizeBytes = 8 * 1024 * 1024;
const blockBytes = 4096;

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
  } catch (error) {
    return (error as NativeError).code;
  }
  return undefined;
}

const sysfs = (index: number, attribute: string): string =>
  readFileSync(`/sys/block/nbd${index}/${attribute}`, 'utf8').trim();

describe('KernelDevice on a real kernel', () => {
  let disk: Buffer;
  let servers: NbdRamServer[];
  const devices = new KernelDevice();

  const request = (changes: Partial<KernelDeviceRequest> = {}): KernelDeviceRequest => ({
    device: 'auto',
    geometry: diskGeometry(sizeBytes),
    lanes: 1,
    backendIdentifier: 'iserd:test',
    requestTimeoutMs: 60_000,
    serve: (fds) => {
      servers.push(...fds.map((fd) => new NbdRamServer(fd, disk)));
      return Promise.resolve();
    },
    ...changes,
  });

  before(() => runOk('modprobe', ['nbd']));
  beforeEach(() => {
    disk = Buffer.alloc(sizeBytes);
    servers = [];
  });

  it('shows identity, size and queue settings in sysfs', async () => {
    const { index, detach } = await devices.attach(request());
    expect(sysfs(index, 'backend')).to.equal('iserd:test');
    expect(Number(sysfs(index, 'size')) * 512).to.equal(sizeBytes);
    expect(sysfs(index, 'queue/io_timeout')).to.equal('3000');
    expect(sysfs(index, 'queue/max_sectors_kb')).to.equal('1024');
    expect(sysfs(index, 'queue/scheduler')).to.contain('[none]');
    expect(sysfs(index, 'queue/write_cache')).to.equal('write back');
    expect(await detach()).to.equal(true);
    await servers[0].ended;
  });

  it('carries data both ways over one socket and over two', async () => {
    for (const lanes of [1, 2]) {
      const attachment = await devices.attach(request({ lanes }));
      const file = await open(attachment.path, 'r+');
      const written = Buffer.alloc(blockBytes, lanes);
      await file.write(written, 0, blockBytes, blockBytes);
      await file.sync();
      expect(disk.subarray(blockBytes, 2 * blockBytes).equals(written)).to.equal(true);
      const read = await file.read(Buffer.alloc(blockBytes), 0, blockBytes, blockBytes);
      expect(read.buffer.equals(written)).to.equal(true);
      await file.close();
      expect(await attachment.detach()).to.equal(true);
    }
  });

  it('never steals a device that is attached', async () => {
    const attachment = await devices.attach(request());
    const { path, detach } = attachment;
    expect(await codeOf(devices.attach(request({ device: path })))).to.equal('device-in-use');
    expect(sysfs(attachment.index, 'backend')).to.equal('iserd:test');
    await detach();
  });

  it('gets the same device back by its name', async () => {
    const first = await devices.attach(request());
    await first.detach();
    const second = await devices.attach(request({ device: first.path }));
    expect(second.index).to.equal(first.index);
    await second.detach();
  });

  it('says that another process still has the detached device open', async () => {
    const attachment = await devices.attach(request());
    const file = await open(attachment.path, 'r');
    expect(await attachment.detach()).to.equal(false);
    await file.close();
  });

  it('resends what was in flight when the server crashed, after a re-attach', async () => {
    const attachment = await devices.attach(request());
    const file = await open(attachment.path, 'r+');
    servers[0].silent = true;
    const written = file
      .write(Buffer.alloc(blockBytes, 7), 0, blockBytes, 0)
      .then(() => file.sync());
    while (!servers[0].commands.includes(1)) await new Promise(setImmediate);
    await servers[0].crash();
    await devices.reattach(attachment.index, request());
    await written;
    expect(disk[0]).to.equal(7);
    await file.close();
    expect(await attachment.detach()).to.equal(true);
  });

  it('refuses to re-attach a device of another backend', async () => {
    const { index, detach } = await devices.attach(request());
    const other = request({ backendIdentifier: 'iserd:other' });
    expect(await codeOf(devices.reattach(index, other))).to.equal('device-other-backend');
    await detach();
  });

  it('resizes an attached device', async () => {
    const { index, resize, detach } = await devices.attach(request());
    await resize(sizeBytes / 2 + 100);
    expect(Number(sysfs(index, 'size')) * 512).to.equal(sizeBytes / 2);
    await detach();
  });

  it('lists what is connected', async () => {
    const { index, detach } = await devices.attach(request());
    expect(await system.nbdStatus()).to.deep.include({ index, connected: true });
    await detach();
  });
});
