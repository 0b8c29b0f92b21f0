import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import winston from 'winston';
import { KernelDeviceError, KernelDeviceErrorCode } from '../../../../daemon/device/error.ts';
import type {
  KernelAttachment,
  KernelDeviceRequest,
} from '../../../../daemon/device/kernel-device.ts';
import { DeviceRecords } from '../../../../daemon/restart/device-records.ts';
import {
  DeviceSuccession,
  type OwnedDevice,
  type OwnedDeviceRequest,
} from '../../../../daemon/restart/device-succession.ts';

const mebibyte = 2 ** 20;
const backendIdentifier = 'iserd:a:naa.1';

async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it did not fail');
}

/** A transport's `log` that writes nothing. */
function takeNext(_info: unknown, next: () => void): void {
  next();
}

/** One machine with its nbd devices; each `daemon` is a process of its own. */
class Fixture {
  /** What the daemons have done, in order. */
  readonly record: string[] = [];
  readonly logged: string[] = [];
  readonly files = new Map<string, string>();
  readonly hungUp = new Set<number>();
  readonly records: DeviceRecords;
  inherited = new Map<string, number>();
  legacy = new Map<string, number>();
  users: string[][] = [];
  uptime = 1000;
  now = 0;
  reattachFailure: Error | undefined;
  disconnectFailure: Error | undefined;
  #next = 100;

  constructor(directory: string) {
    this.records = new DeviceRecords(directory);
  }

  /** /dev/nbd`index` is attached. */
  attached(index: number, backend: string, sizeBytes = mebibyte): void {
    this.files.set(`/sys/block/nbd${index}/pid`, '1');
    this.files.set(`/sys/block/nbd${index}/backend`, backend);
    this.files.set(`/sys/block/nbd${index}/size`, String(sizeBytes / 512));
  }

  daemon(): DeviceSuccession {
    const attachment = (
      index: number,
      { lanes, geometry }: KernelDeviceRequest,
      how: string,
      serverFds: readonly number[],
    ): KernelAttachment => {
      this.record.push(`${how} nbd${index} ${lanes}: ${serverFds.join(',')}`);
      if (how === 'attach') this.attached(index, backendIdentifier, geometry.sizeBytes);
      return {
        index,
        path: `/dev/nbd${index}`,
        serverFds,
        sizeBytes: () => Promise.resolve(geometry.sizeBytes),
        resize: (sizeBytes) => {
          this.record.push(`resize ${sizeBytes}`);
          return Promise.resolve();
        },
        detach: () => {
          this.record.push('detach');
          return Promise.resolve(true);
        },
      };
    };
    const sockets = (count: number): number[] => Array.from({ length: count }, () => this.#next++);
    return new DeviceSuccession({
      devices: {
        attach: async (request) => {
          const fds = sockets(request.lanes);
          await request.serve(fds);
          return attachment(5, request, 'attach', fds);
        },
        reattach: async (index, request, atLeast) => {
          if (this.reattachFailure !== undefined) throw this.reattachFailure;
          const fds = sockets(request.lanes);
          await request.serve(fds);
          return attachment(index, request, `reattach(${atLeast})`, fds);
        },
        adopt: async (index, request, fds) => {
          await request.serve(fds);
          return attachment(index, request, 'adopt', fds);
        },
        deadConnTimeoutSeconds: () => 60,
      },
      records: this.records,
      inheritance: {
        take: (name) => {
          const fd = this.inherited.get(name);
          this.inherited.delete(name);
          return fd;
        },
      },
      legacy: {
        add: (name, fd) => this.legacy.set(name, fd),
        take: (name) => {
          const fd = this.legacy.get(name);
          this.legacy.delete(name);
          return fd;
        },
      },
      logger: winston.createLogger({
        format: winston.format.printf(({ message }) => {
          this.logged.push(String(message));
          return '';
        }),
        // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston's own class; its types name a stream of another @types/node
        transports: [new winston.transports.Console({ log: takeNext })],
      }),
      calls: {
        closeFd: (fd) => this.record.push(`close ${fd}`),
        shutdownFd: (fd) => this.record.push(`shutdown ${fd}`),
        hasHungUp: (fd) => this.hungUp.has(fd),
        nbdDisconnect: (index) => {
          this.record.push(`disconnect ${index}`);
          return this.disconnectFailure === undefined
            ? Promise.resolve()
            : Promise.reject(this.disconnectFailure);
        },
      },
      surroundings: {
        readFile: (path) => {
          const text = this.files.get(path);
          return text === undefined
            ? Promise.reject(Object.assign(new Error('ENOENT'), { code: 'ENOENT' }))
            : Promise.resolve(text);
        },
        readDirectory: () =>
          Promise.resolve([...new Set([...this.files.keys()].map((path) => path.split('/')[3]))]),
        writeFile: () => Promise.resolve(),
        sleep: (milliseconds) => {
          this.now += milliseconds;
          return Promise.resolve();
        },
        now: () => this.now,
        warn: () => undefined,
      },
      usersOf: () => Promise.resolve(this.users.shift() ?? []),
      uptime: () => this.uptime,
    });
  }

  /** What the last daemon has left in the legacy is what the next one inherits. */
  succeed(): void {
    this.inherited = this.legacy;
    this.legacy = new Map();
    this.record.length = 0;
  }
}

describe('a kernel device that outlives its daemon', () => {
  let directory: string;
  let fixture: Fixture;
  let served: (readonly number[])[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-succession-'));
    fixture = new Fixture(join(directory, 'devices'));
    served = [];
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  const request = (changes: Partial<OwnedDeviceRequest> = {}): OwnedDeviceRequest => ({
    device: 'auto',
    geometry: {
      sizeBytes: mebibyte,
      logicalBlockLength: 512,
      preferredLength: 4096,
      readOnly: false,
      rotational: false,
      canTrim: true,
      fastZeroes: true,
      knowsAllocation: false,
    },
    lanes: 2,
    backendIdentifier,
    owner: 'us',
    requestTimeoutMs: 60_000,
    serve: (fds) => {
      served.push(fds);
      return Promise.resolve();
    },
    ...changes,
  });
  const attach = (changes: Partial<OwnedDeviceRequest> = {}): Promise<OwnedDevice> =>
    fixture.daemon().attach(request(changes));

  it('is attached when there is none, and put on record', async () => {
    await attach();
    expect(fixture.record).to.deep.equal(['attach nbd5 2: 100,101']);
    expect(fixture.records.read(5)).to.include({
      backendIdentifier,
      owner: 'us',
      sockets: 2,
      sizeBytes: mebibyte,
      handedOver: false,
    });
  });

  it('has no record any more when it has been detached', async () => {
    await (await attach()).detach();
    expect(fixture.record.at(-1)).to.equal('detach');
    expect(fixture.records.all()).to.deep.equal([]);
  });

  describe('after a crash', () => {
    it('gets new sockets, as many as it was attached with', async () => {
      await attach({ lanes: 3 });
      fixture.succeed();
      await attach({ lanes: 1 });
      expect(fixture.record).to.deep.equal(['reattach(3) nbd5 3: 103,104,105']);
    });

    it('has its old sockets shut down first when the service manager still has them', async () => {
      await attach();
      fixture.succeed();
      fixture.inherited.set('nbd5-0', 50).set('nbd5-1', 51);
      await attach();
      expect(fixture.record).to.deep.equal([
        'shutdown 50',
        'close 50',
        'shutdown 51',
        'close 51',
        'reattach(2) nbd5 2: 102,103',
      ]);
    });

    it('is found without a record too, and whatever number of sockets it has is right', async () => {
      fixture.attached(7, backendIdentifier);
      await attach();
      expect(fixture.record).to.deep.equal(['reattach(1) nbd7 2: 100,101']);
    });

    it('stays where it is although another device is wanted now, and says so', async () => {
      fixture.attached(7, backendIdentifier);
      expect((await attach({ device: '/dev/nbd3' })).path).to.equal('/dev/nbd7');
      expect(fixture.logged).to.include(
        'the volume still owns /dev/nbd7: it stays there, not at /dev/nbd3',
      );
    });

    it('is replaced by another one when it was disconnected under its users', async () => {
      fixture.attached(7, backendIdentifier);
      fixture.reattachFailure = new KernelDeviceError(KernelDeviceErrorCode.disconnected, 'dead');
      expect((await attach()).path).to.equal('/dev/nbd5');
      expect(fixture.logged).to.deep.equal(['dead']);
    });

    it('is not replaced when the kernel refuses for any other reason', async () => {
      fixture.attached(7, backendIdentifier);
      fixture.reattachFailure = new KernelDeviceError(KernelDeviceErrorCode.inUse, 'served');
      expect((await failureOf(attach())).code).to.equal('device-in-use');
      expect(fixture.record).to.deep.equal([]);
    });
  });

  describe('after a planned restart', () => {
    beforeEach(async () => {
      const device = await attach();
      device.leave([60, 61]);
    });

    it('goes on with the sockets it has', async () => {
      fixture.succeed();
      await attach();
      expect(fixture.record).to.deep.equal(['adopt nbd5 2: 60,61']);
      expect(served.at(-1)).to.deep.equal([60, 61]);
    });

    it('is on record as not handed over before the first byte is read', async () => {
      fixture.succeed();
      let handedOver: boolean | undefined;
      await attach({
        serve: () => {
          handedOver = fixture.records.read(5)?.handedOver;
          return Promise.resolve();
        },
      });
      expect(handedOver).to.equal(false);
    });

    it('is treated as after a crash when a socket is missing', async () => {
      fixture.succeed();
      fixture.inherited.delete('nbd5-1');
      await attach();
      expect(fixture.record).to.deep.equal([
        'shutdown 60',
        'close 60',
        'reattach(2) nbd5 2: 102,103',
      ]);
    });

    it('is treated as after a crash when the kernel has closed a socket', async () => {
      fixture.succeed();
      fixture.hungUp.add(61);
      await attach();
      expect(fixture.record.at(-1)).to.equal('reattach(2) nbd5 2: 102,103');
    });

    it('comes back to a daemon whose own start had failed after the attachment', async () => {
      fixture.record.length = 0;
      await attach();
      expect(fixture.record).to.deep.equal(['adopt nbd5 2: 60,61']);
      expect(fixture.legacy.size).to.equal(0);
    });
  });

  it('leaves no sockets when one of them could not be drained', async () => {
    (await attach()).leave([undefined, 61]);
    expect(fixture.record.at(-1)).to.equal('close 61');
    expect(fixture.legacy.size).to.equal(0);
    expect(fixture.records.read(5)?.handedOver).to.equal(false);
  });

  it('leaves no sockets when the kernel has closed one of them', async () => {
    const device = await attach();
    fixture.hungUp.add(60);
    device.leave([60, 61]);
    expect(fixture.record.slice(-2)).to.deep.equal(['close 60', 'close 61']);
    expect(fixture.records.read(5)?.handedOver).to.equal(false);
  });

  describe('whose logical unit', () => {
    beforeEach(async () => {
      await attach();
      fixture.succeed();
    });
    const sized = (sizeBytes: number): Partial<OwnedDeviceRequest> => ({
      geometry: { ...request().geometry, sizeBytes },
    });

    it('has grown meanwhile grows when it is served again', async () => {
      await attach(sized(2 * mebibyte + 100));
      expect(fixture.record).to.deep.equal([
        'reattach(2) nbd5 2: 102,103',
        `resize ${2 * mebibyte}`,
      ]);
    });

    it('has shrunk meanwhile keeps its size and says so', async () => {
      await attach(sized(mebibyte / 2));
      expect(fixture.record).to.have.length(1);
      expect(fixture.logged.join()).to.match(/the logical unit has shrunk to 524288/);
    });

    it('is another one now is not attached a second time', async () => {
      const { code, message } = await failureOf(attach({ backendIdentifier: 'iserd:a:naa.2' }));
      expect(code).to.equal('device-other-unit');
      expect(message).to.contain('/dev/nbd5').and.to.contain('iserctl detach --force /dev/nbd5');
      expect(fixture.record).to.deep.equal([]);
    });

    it('is another one now is attached when the old device has gone', async () => {
      fixture.files.clear();
      await attach({ backendIdentifier: 'iserd:a:naa.2' });
      expect(fixture.record).to.deep.equal(['attach nbd5 2: 102,103']);
    });
  });

  describe('is used', () => {
    it('by who has it open for longer than a moment', async () => {
      const device = await attach();
      fixture.users = [['open in process 9 (udev)'], []];
      expect(await device.users()).to.deep.equal([]);
      fixture.users = Array.from({ length: 20 }, () => ['open in process 9 (dd)']);
      expect(await device.users()).to.deep.equal(['open in process 9 (dd)']);
    });

    it('by a mount at once', async () => {
      const device = await attach();
      fixture.users = [['mounted on /mnt', 'open in process 9 (dd)'], []];
      expect(await device.users()).to.have.length(2);
    });
  });

  describe('that no start can serve', () => {
    beforeEach(async () => {
      await attach();
      fixture.succeed();
    });

    it('is given up when its time is over, counted from the first such start', async () => {
      const daemon = fixture.daemon();
      await daemon.giveUpExpired('us');
      fixture.uptime += 59;
      await daemon.giveUpExpired('us');
      expect(fixture.record).to.deep.equal([]);
      fixture.uptime += 1;
      await daemon.giveUpExpired('us');
      expect(fixture.record).to.deep.equal(['disconnect 5']);
      expect(fixture.records.all()).to.deep.equal([]);
    });

    it('keeps its record when the kernel refuses', async () => {
      fixture.uptime += 1;
      fixture.records.write({ ...fixture.records.all()[0], unservedSince: 0 });
      fixture.disconnectFailure = new Error('EPERM');
      await fixture.daemon().giveUpExpired('us');
      expect(fixture.records.all()).to.have.length(1);
      expect(fixture.logged.at(-1)).to.equal('/dev/nbd5: EPERM');
    });

    it('is found by whose it is, with who uses it, and can be given up', async () => {
      fixture.users = [['mounted on /mnt']];
      const daemon = fixture.daemon();
      const [left, ...others] = await daemon.leftBy('us', 'iserd:a:');
      expect(others).to.deep.equal([]);
      expect(left.path).to.equal('/dev/nbd5');
      expect(await left.users()).to.deep.equal(['mounted on /mnt']);
      await left.detach();
      expect(fixture.record).to.deep.equal(['disconnect 5']);
      expect(fixture.records.all()).to.deep.equal([]);
    });

    it('is not found by others, under another name, or when it is gone', async () => {
      const daemon = fixture.daemon();
      expect(await daemon.leftBy('others', 'iserd:a:')).to.deep.equal([]);
      expect(await daemon.leftBy('us', 'iserd:b:')).to.deep.equal([]);
      fixture.files.clear();
      expect(await daemon.leftBy('us', 'iserd:a:')).to.deep.equal([]);
    });

    it("is left alone when it is another volume's, or not attached any more", async () => {
      fixture.records.write({ ...fixture.records.all()[0], unservedSince: 0 });
      await fixture.daemon().giveUpExpired('others');
      fixture.files.clear();
      await fixture.daemon().giveUpExpired('us');
      expect(fixture.record).to.deep.equal([]);
    });
  });
});
