import { expect } from 'chai';
import { devicesOf, type Surroundings } from '../../../../daemon/device/sysfs.ts';
import { KernelDevice, type KernelDeviceRequest } from '../../../../daemon/device/kernel-device.ts';
import type { NativeNbdAttach } from '../../../../src/reactor/native.ts';
import { diskGeometry } from '../../../helpers/geometry.ts';

const geometry = diskGeometry(1024 * 1024, { knowsAllocation: true });

function failure(code: string, syscall = 'netlink(nbd)'): Error {
  return Object.assign(new Error(`${syscall}: ${code}`), { code, syscall });
}

/** Stands in for the kernel: fds, netlink commands and sysfs files, on a clock that only `sleep` advances. */
class FakeKernel {
  readonly files = new Map<string, string>();
  readonly written: [path: string, text: string][] = [];
  readonly connects: NativeNbdAttach[] = [];
  readonly reconfigures: unknown[] = [];
  readonly disconnects: number[] = [];
  readonly closed: number[] = [];
  readonly warnings: string[] = [];
  readonly hungUp = new Set<number>();
  readonly sendBuffers: number[] = [];
  connectFailures: Error[] = [];
  reconfigureFailure: Error | undefined;
  /** How many of the next sockets in RECONFIGURE the kernel drops. */
  socketsToDrop = 0;
  socketsToTake = Infinity;
  showsSize = true;
  releasesOnDisconnect = true;
  writeFailure: Error | undefined;
  firstFree = 3;
  #nextFd = 100;
  #now = 0;

  readonly calls = {
    socketPair: (size: number): [number, number] => {
      this.sendBuffers.push(size);
      return [this.#nextFd++, this.#nextFd++];
    },
    closeFd: (fd: number): void => {
      expect(this.closed, 'closed twice').not.to.include(fd);
      this.closed.push(fd);
    },
    hasHungUp: (fd: number): boolean => this.hungUp.has(fd),
    nbdConnect: (attach: NativeNbdAttach): Promise<number> => {
      this.connects.push(attach);
      const failed = this.connectFailures.shift();
      if (failed !== undefined) return Promise.reject(failed);
      const index = attach.index < 0 ? this.firstFree : attach.index;
      const directory = `/sys/block/nbd${index}`;
      this.files.set(`${directory}/pid`, '1\n');
      this.files.set(`${directory}/backend`, `${attach.backendIdentifier}\n`);
      if (this.showsSize) this.files.set(`${directory}/size`, `${attach.sizeBytes / 512n}\n`);
      return Promise.resolve(index);
    },
    nbdDisconnect: (index: number): Promise<void> => {
      this.disconnects.push(index);
      if (this.releasesOnDisconnect) this.files.delete(`/sys/block/nbd${index}/pid`);
      return Promise.resolve();
    },
    nbdReconfigure: (attach: Partial<NativeNbdAttach>): Promise<void> => {
      this.reconfigures.push(attach);
      if (this.reconfigureFailure !== undefined) return Promise.reject(this.reconfigureFailure);
      // Our end of a pair is the fd before the kernel's.
      for (const fd of attach.sockets ?? [])
        if (this.socketsToDrop-- > 0 || this.socketsToTake-- <= 0) this.hungUp.add(fd - 1);
      return Promise.resolve();
    },
  };

  readonly surroundings: Surroundings = {
    readFile: (path) => {
      const text = this.files.get(path);
      return text === undefined ? Promise.reject(failure('ENOENT')) : Promise.resolve(text);
    },
    readDirectory: (path) => {
      const names = [...this.files.keys()].flatMap((file) =>
        file.startsWith(`${path}/`) ? [file.slice(path.length + 1).split('/')[0]] : [],
      );
      return Promise.resolve([...new Set(names)]);
    },
    writeFile: (path, text) => {
      if (this.writeFailure !== undefined) return Promise.reject(this.writeFailure);
      this.written.push([path, text]);
      return Promise.resolve();
    },
    sleep: (milliseconds) => {
      this.#now += milliseconds;
      return Promise.resolve();
    },
    now: () => this.#now,
    warn: (message) => this.warnings.push(message),
  };
}

describe('KernelDevice', () => {
  let kernel: FakeKernel;
  let devices: KernelDevice;
  let served: number[][];

  const request = (changes: Partial<KernelDeviceRequest> = {}): KernelDeviceRequest => ({
    device: 'auto',
    geometry,
    lanes: 1,
    backendIdentifier: 'iserd:vol:naa.1',
    requestTimeoutMs: 120_000,
    serve: (fds) => {
      expect(kernel.connects, 'served before the kernel has its end').to.be.empty;
      served.push([...fds]);
      return Promise.resolve();
    },
    ...changes,
  });

  async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
    try {
      await promise;
    } catch (error) {
      return error as { code: string; message: string };
    }
    throw new Error('it did not fail');
  }

  beforeEach(() => {
    kernel = new FakeKernel();
    served = [];
    devices = new KernelDevice({ calls: kernel.calls, surroundings: kernel.surroundings });
  });

  describe('attach', () => {
    it('lets the kernel choose the first free device', async () => {
      const attachment = await devices.attach(request());
      expect(attachment).to.include({ index: 3, path: '/dev/nbd3' });
      expect(attachment.serverFds).to.deep.equal([100]);
      expect(served).to.deep.equal([[100]]);
    });

    it('attaches the device that was asked for', async () => {
      expect((await devices.attach(request({ device: '/dev/nbd12' }))).path).to.equal('/dev/nbd12');
    });

    for (const device of ['nbd0', '/dev/nbd', '/dev/nbd01', '/dev/sda', '/dev/nbd1p1', '']) {
      it(`refuses the device name "${device}"`, async () => {
        expect((await failureOf(devices.attach(request({ device })))).code).to.equal('device-name');
        expect(kernel.connects).to.be.empty;
      });
    }

    it('never lets the kernel kill slow requests of a single socket', async () => {
      await devices.attach(request());
      expect(kernel.connects[0]).to.include({ timeoutSeconds: 0, deadConnTimeoutSeconds: 86_400 });
      expect(kernel.written).to.deep.include(['/sys/block/nbd3/queue/io_timeout', '3000']);
    });

    it("sets the timeout of several sockets above the daemon's own deadline", async () => {
      await devices.attach(request({ lanes: 2, requestTimeoutMs: 120_500 }));
      expect(kernel.connects[0].timeoutSeconds).to.equal(121 + 30);
      expect(kernel.connects[0].sockets).to.deep.equal([101, 103]);
      expect(served).to.deep.equal([[100, 102]]);
      expect(kernel.written.map(([path]) => path)).not.to.include(
        '/sys/block/nbd3/queue/io_timeout',
      );
    });

    for (const requestTimeoutMs of [-1, Infinity]) {
      it(`refuses several sockets with a deadline of ${requestTimeoutMs}`, async () => {
        const { code } = await failureOf(devices.attach(request({ lanes: 2, requestTimeoutMs })));
        expect(code).to.equal('device-needs-timeout');
      });
    }

    it('tells the kernel what the logical unit can do', async () => {
      await devices.attach(request());
      expect(kernel.connects[0].serverFlags).to.equal(0b0_0110_1101);
      await devices.attach(
        request({ geometry: { ...geometry, rotational: true, canTrim: false }, serve: settled }),
      );
      expect(kernel.connects[1].serverFlags).to.equal(0b0_0101_1101);
      await devices.attach(
        request({ geometry: { ...geometry, readOnly: true }, lanes: 2, serve: settled }),
      );
      expect(kernel.connects[2].serverFlags).to.equal(0b1_0000_1111);
    });

    it('rounds the size down to whole blocks', async () => {
      await devices.attach(
        request({ geometry: { ...geometry, sizeBytes: 8192 + 512, logicalBlockLength: 4096 } }),
      );
      expect(kernel.connects[0]).to.include({ sizeBytes: 8192n, blockSize: 4096 });
    });

    it('refuses a logical unit of less than a block', async () => {
      const empty = request({ geometry: { ...geometry, sizeBytes: 511 } });
      expect((await failureOf(devices.attach(empty))).code).to.equal('device-empty');
    });

    it('gives the sockets generous buffers', async () => {
      await devices.attach(request());
      expect(kernel.sendBuffers).to.deep.equal([4 * 1024 * 1024]);
    });

    it("closes its copies of the kernel's ends, and only those", async () => {
      await devices.attach(request({ lanes: 2 }));
      expect(kernel.closed).to.deep.equal([101, 103]);
    });

    it('closes every socket when a pair cannot be made', async () => {
      const calls = {
        ...kernel.calls,
        socketPair: (size: number): [number, number] => {
          if (kernel.sendBuffers.length === 1) throw failure('EMFILE', 'socketpair');
          return kernel.calls.socketPair(size);
        },
      };
      const limited = new KernelDevice({ calls, surroundings: kernel.surroundings });
      expect((await failureOf(limited.attach(request({ lanes: 2 })))).code).to.equal('EMFILE');
      expect(kernel.closed).to.have.members([100, 101]);
    });

    it("closes the kernel's ends when nobody serves the other", async () => {
      const serve = () => Promise.reject(failure('ECANCELED'));
      expect((await failureOf(devices.attach(request({ serve })))).code).to.equal('ECANCELED');
      expect(kernel.closed).to.deep.equal([101]);
      expect(kernel.connects).to.be.empty;
    });

    it('never steals a device that is in use', async () => {
      kernel.files.set('/sys/block/nbd5/pid', '42\n');
      kernel.files.set('/sys/block/nbd5/backend', 'other\n');
      const error = await failureOf(devices.attach(request({ device: '/dev/nbd5' })));
      expect(error.code).to.equal('device-in-use');
      expect(error.message).to.equal('/dev/nbd5 is attached already (to "other")');
      expect(kernel.connects).to.be.empty;
      expect(served).to.be.empty;
    });

    it('tries again while udev has the idle device open', async () => {
      kernel.connectFailures = [failure('EBUSY'), failure('EBUSY')];
      const attachment = await devices.attach(request({ device: '/dev/nbd5' }));
      expect(attachment.index).to.equal(5);
      expect(kernel.connects).to.have.length(3);
    });

    it('gives up when the idle device stays open', async () => {
      kernel.connectFailures = Array.from({ length: 1000 }, () => failure('EBUSY'));
      const { code } = await failureOf(devices.attach(request({ device: '/dev/nbd5' })));
      expect(code).to.equal('device-busy');
      expect(kernel.surroundings.now()).to.be.within(10_000, 10_200);
    });

    it('stops trying when somebody else attaches the device meanwhile', async () => {
      kernel.connectFailures = [failure('EBUSY')];
      const calls = {
        ...kernel.calls,
        nbdConnect: (attach: NativeNbdAttach) => {
          kernel.files.set('/sys/block/nbd5/pid', '42\n');
          return kernel.calls.nbdConnect(attach);
        },
      };
      const raced = new KernelDevice({ calls, surroundings: kernel.surroundings });
      const { code } = await failureOf(raced.attach(request({ device: '/dev/nbd5' })));
      expect(code).to.equal('device-in-use');
    });

    it('says how to load the module when the kernel has no NBD client', async () => {
      kernel.connectFailures = [failure('ENOENT', 'genl_ctrl_resolve(nbd)')];
      const error = await failureOf(devices.attach(request()));
      expect(error.code).to.equal('nbd-module-missing');
      expect(error.message).to.contain('modprobe nbd');
    });

    it('says which right is missing', async () => {
      kernel.connectFailures = [failure('EPERM')];
      expect((await failureOf(devices.attach(request()))).code).to.equal('nbd-not-permitted');
    });

    it("passes the kernel's other refusals on", async () => {
      kernel.connectFailures = [failure('EINVAL')];
      const error = await failureOf(devices.attach(request()));
      expect(error.code).to.equal('attach-failed');
      expect(error.message).to.contain('EINVAL');
    });

    it('lets go of a device whose capacity never shows', async () => {
      kernel.showsSize = false;
      expect((await failureOf(devices.attach(request()))).code).to.equal('device-size-not-seen');
      expect(kernel.disconnects).to.deep.equal([3]);
    });

    it('sets the queue, and lives with a kernel that refuses', async () => {
      await devices.attach(request());
      expect(kernel.written).to.deep.include(['/sys/block/nbd3/queue/scheduler', 'none']);
      expect(kernel.written).to.deep.include(['/sys/block/nbd3/queue/max_sectors_kb', '1024']);
      // The kernel's own event comes before the device shows whose it is.
      expect(kernel.written.at(-1)).to.deep.equal(['/sys/block/nbd3/uevent', 'change']);
      kernel.writeFailure = failure('EINVAL', 'write');
      await devices.attach(request({ serve: settled }));
      expect(kernel.warnings).to.have.length(4);
      expect(kernel.warnings[0]).to.contain('/sys/block/nbd3/queue/max_sectors_kb');
    });

    it('fails when sysfs cannot be read for another reason than absence', async () => {
      const surroundings = {
        ...kernel.surroundings,
        readFile: () => Promise.reject(failure('EIO', 'read')),
      };
      const broken = new KernelDevice({ calls: kernel.calls, surroundings });
      expect((await failureOf(broken.attach(request()))).code).to.equal('EIO');
    });
  });

  describe('detach', () => {
    it('disconnects once, however often it is asked', async () => {
      const attachment = await devices.attach(request());
      expect(await Promise.all([attachment.detach(), attachment.detach()])).to.deep.equal([
        true,
        true,
      ]);
      expect(kernel.disconnects).to.deep.equal([3]);
    });

    it('says that the device is still held open', async () => {
      const attachment = await devices.attach(request());
      kernel.releasesOnDisconnect = false;
      expect(await attachment.detach()).to.equal(false);
    });
  });

  describe('resize', () => {
    it('sends nothing but the new size', async () => {
      const attachment = await devices.attach(request());
      await attachment.resize(4096 + 100);
      expect(kernel.reconfigures).to.deep.equal([
        { index: 3, backendIdentifier: 'iserd:vol:naa.1', sizeBytes: 4096n },
      ]);
    });
  });

  describe('reattach', () => {
    beforeEach(() => {
      kernel.files.set('/sys/block/nbd7/pid', '42\n');
      kernel.files.set('/sys/block/nbd7/backend', 'iserd:vol:naa.1\n');
    });

    it('sends new sockets and no size, then serves them', async () => {
      const attachment = await devices.reattach(7, request({ lanes: 2 }));
      expect(attachment).to.include({ index: 7, path: '/dev/nbd7' });
      expect(kernel.reconfigures).to.deep.equal([
        {
          index: 7,
          backendIdentifier: 'iserd:vol:naa.1',
          deadConnTimeoutSeconds: 86_400,
          sockets: [101, 103],
        },
      ]);
      expect(served).to.deep.equal([[100, 102]]);
      expect(kernel.closed).to.deep.equal([101, 103]);
    });

    it('offers another socket for one that the kernel has dropped', async () => {
      kernel.socketsToDrop = 1;
      const attachment = await devices.reattach(7, request({ lanes: 2 }));
      expect(attachment.serverFds).to.deep.equal([102, 104]);
      expect(kernel.closed).to.include(100);
    });

    it('gives up when the kernel drops every socket: another process serves it', async () => {
      kernel.socketsToDrop = Infinity;
      const { code } = await failureOf(devices.reattach(7, request()));
      expect(code).to.equal('device-in-use');
      expect(served).to.be.empty;
      expect(kernel.surroundings.now()).to.be.within(10_000, 10_200);
    });

    it('is content with the sockets that the kernel has when nobody knows how many that are', async () => {
      kernel.socketsToTake = 1;
      const attachment = await devices.reattach(7, request({ lanes: 3 }), 1);
      expect(attachment.serverFds).to.have.length(1);
    });

    it('refuses a device with blocks of another size', async () => {
      kernel.files.set('/sys/block/nbd7/queue/logical_block_size', '4096\n');
      const { code } = await failureOf(devices.reattach(7, request()));
      expect(code).to.equal('device-other-block-size');
    });

    it('refuses a device with another backend', async () => {
      kernel.files.set('/sys/block/nbd7/backend', 'other\n');
      const { code } = await failureOf(devices.reattach(7, request()));
      expect(code).to.equal('device-other-backend');
    });

    it('refuses a device that nobody has attached', async () => {
      const { code, message } = await failureOf(devices.reattach(8, request()));
      expect(code).to.equal('device-other-backend');
      expect(message).to.contain('"nothing"');
    });

    it('leaves no socket open when the kernel refuses', async () => {
      kernel.reconfigureFailure = failure('ENOMEM');
      expect((await failureOf(devices.reattach(7, request()))).code).to.equal('attach-failed');
      expect(kernel.closed).to.have.members([100, 101]);
    });

    it('says so when the device was disconnected while it was open', async () => {
      kernel.reconfigureFailure = failure('EINVAL');
      const { code } = await failureOf(devices.reattach(7, request()));
      expect(code).to.equal('device-disconnected');
    });
  });

  describe('adopt', () => {
    beforeEach(() => {
      kernel.files.set('/sys/block/nbd7/pid', '42\n');
      kernel.files.set('/sys/block/nbd7/backend', 'iserd:vol:naa.1\n');
    });

    it('serves the sockets of the predecessor; the kernel learns at most of another timeout', async () => {
      const changed = request({ lanes: 2, deadConnTimeoutSeconds: 7 });
      const attachment = await devices.adopt(7, changed, [50, 51]);
      expect(attachment).to.include({ index: 7, path: '/dev/nbd7' });
      expect(served).to.deep.equal([[50, 51]]);
      expect(kernel.reconfigures).to.deep.equal([
        {
          index: 7,
          backendIdentifier: 'iserd:vol:naa.1',
          deadConnTimeoutSeconds: 7,
          timeoutSeconds: 120 + 30,
        },
      ]);
    });

    it('closes them when the device serves another backend', async () => {
      kernel.files.set('/sys/block/nbd7/backend', 'other\n');
      const { code } = await failureOf(devices.adopt(7, request(), [50, 51]));
      expect(code).to.equal('device-other-backend');
      expect(kernel.closed).to.deep.equal([50, 51]);
    });
  });

  describe('devicesOf', () => {
    it('finds the attached devices with a backend identifier', async () => {
      for (const [index, backend] of [
        [1, 'mine'],
        [2, 'other'],
        [12, 'mine'],
      ] as const) {
        kernel.files.set(`/sys/block/nbd${index}/pid`, '1\n');
        kernel.files.set(`/sys/block/nbd${index}/backend`, `${backend}\n`);
      }
      kernel.files.set('/sys/block/nbd3/backend', 'mine\n');
      kernel.files.set('/sys/block/sda/backend', 'mine\n');
      expect(await devicesOf('mine', kernel.surroundings)).to.deep.equal([1, 12]);
    });
  });
});

function settled(): Promise<void> {
  return Promise.resolve();
}
