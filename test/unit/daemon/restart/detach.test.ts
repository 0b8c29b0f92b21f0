import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { detachDevice, type DetachSurroundings } from '../../../../daemon/cli/detach.ts';
import { VolumeLocks } from '../../../../daemon/restart/volume-locks.ts';
import { system } from '../../../../daemon/system.ts';

describe('iserctl detach', () => {
  let directory: string;
  let backend: string | undefined;
  let users: string[];
  let isOpen: boolean;
  let printed: string;
  let disconnected: number[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-detach-'));
    backend = 'iserd:a:naa.1';
    users = [];
    isOpen = false;
    printed = '';
    disconnected = [];
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  function missing(): Promise<never> {
    return Promise.reject(Object.assign(new Error('ENOENT'), { code: 'ENOENT' }));
  }

  function around(): DetachSurroundings {
    let now = 0;
    return {
      calls: {
        closeFd: (fd) => {
          system.closeFd(fd);
        },
        lockFile: (path) => system.lockFile(path),
        nbdDisconnect: (index) => {
          disconnected.push(index);
          return Promise.resolve();
        },
      },
      surroundings: {
        readFile: (path) => {
          if (path.endsWith('/backend')) {
            return backend === undefined ? missing() : Promise.resolve(backend);
          }
          return disconnected.length > 0 && !isOpen ? missing() : Promise.resolve('1');
        },
        readDirectory: () => Promise.resolve([]),
        writeFile: () => Promise.resolve(),
        sleep: (milliseconds) => {
          now += milliseconds;
          return Promise.resolve();
        },
        now: () => now,
        warn: () => undefined,
      },
      usersOf: () => Promise.resolve(users),
      directory,
      print: (text) => (printed += text),
    };
  }

  async function refusal(
    device: string,
    force = false,
  ): Promise<{ code: string; message: string }> {
    try {
      await detachDevice({ device, force }, around());
    } catch (error) {
      expect(disconnected).to.deep.equal([]);
      return error as { code: string; message: string };
    }
    throw new Error('it was done');
  }

  it('lets go of a device that nobody uses', async () => {
    await detachDevice({ device: '/dev/nbd5', force: false }, around());
    expect(disconnected).to.deep.equal([5]);
    expect(printed).to.equal('/dev/nbd5 is detached\n');
  });

  it('says who uses it, unless it is forced', async () => {
    users = ['mounted on /mnt'];
    expect((await refusal('/dev/nbd5')).message).to.equal(
      '/dev/nbd5 is in use (mounted on /mnt); --force ends its I/O with errors',
    );
    isOpen = true;
    await detachDevice({ device: '/dev/nbd5', force: true }, around());
    expect(printed).to.match(/when its last user has closed it/);
  });

  it('says which daemon serves it, unless it is forced', async () => {
    const locks = new VolumeLocks({
      directory: join(directory, 'locks'),
      inheritance: { take: () => undefined },
    });
    const lock = locks.take('iserd:a:naa.1');
    expect((await refusal('/dev/nbd5')).message).to.contain(`process ${process.pid}`);
    await detachDevice({ device: '/dev/nbd5', force: true }, around());
    lock.release();
    expect(disconnected).to.deep.equal([5]);
  });

  it('leaves what is not ours alone', async () => {
    backend = 'somebody';
    expect((await refusal('/dev/nbd5', true)).code).to.equal('device-not-ours');
    backend = undefined;
    expect((await refusal('/dev/nbd5', true)).code).to.equal('device-not-ours');
  });

  it('wants the name of one device', async () => {
    for (const device of ['auto', '/dev/sda', '5'])
      expect((await refusal(device)).code).to.equal('device-name');
  });
});
