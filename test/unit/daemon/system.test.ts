import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CallQueue, system } from '../../../daemon/system.ts';
import type { NativeError } from '../../../src/reactor/native.ts';

function errorOf(call: () => unknown): NativeError {
  try {
    call();
  } catch (error) {
    return error as NativeError;
  }
  throw new Error('it did not throw');
}

describe('system calls', () => {
  let directory: string;
  let path: string;
  const open: number[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-system-'));
    path = join(directory, 'socket');
  });
  afterEach(() => {
    for (const fd of open.splice(0)) system.closeFd(fd);
    rmSync(directory, { recursive: true });
  });

  const listen = (mode = 0o600): number => {
    const fd = system.listenUnix(path, mode, 8);
    open.push(fd);
    return fd;
  };

  describe('socketPair', () => {
    it('gives two ends, of which one sees the other close', () => {
      const [left, right] = system.socketPair(65_536);
      open.push(left);
      expect(system.hasHungUp(left)).to.equal(false);
      system.closeFd(right);
      expect(system.hasHungUp(left)).to.equal(true);
    });
  });

  describe('rdmaDevices', () => {
    it('names the devices that the kernel has', () => {
      const directory = '/sys/class/infiniband_verbs';
      const known = existsSync(directory)
        ? readdirSync(directory).flatMap((name) => {
            const path = `${directory}/${name}/ibdev`;
            return existsSync(path) ? [readFileSync(path, 'utf8').trim()] : [];
          })
        : [];
      const names = system.rdmaDevices().map(({ name }) => name);
      expect(names.sort()).to.deep.equal(known.sort());
    });
  });

  describe('shutdownFd', () => {
    it('ends the stream even while a copy of the fd is open', () => {
      const [left, right] = system.socketPair(65_536);
      const copy = system.duplicateFd(right);
      open.push(left, right, copy);
      system.shutdownFd(right);
      expect(system.hasHungUp(left)).to.equal(true);
    });
  });

  describe('closeFd', () => {
    it('reports a descriptor that is not open', () => {
      const error = errorOf(() => {
        system.closeFd(0x7fff_fff0);
      });
      expect(error).to.include({ code: 'EBADF', syscall: 'close', errno: 9 });
    });
  });

  describe('duplicateFd', () => {
    it('reports a descriptor that is not open', () => {
      expect(errorOf(() => system.duplicateFd(0x7fff_fff0)).code).to.equal('EBADF');
    });
  });

  describe('hasHungUp', () => {
    it('reports a descriptor that is not open', () => {
      expect(errorOf(() => system.hasHungUp(0x7fff_fff0)).code).to.equal('EBADF');
    });
  });

  describe('lockFile', () => {
    it('is held by one at a time, until the last copy of the descriptor is closed', () => {
      const lock = system.lockFile(path);
      const copy = system.duplicateFd(lock);
      expect(errorOf(() => system.lockFile(path))).to.include({ code: 'EAGAIN', syscall: 'flock' });
      system.closeFd(lock);
      expect(errorOf(() => system.lockFile(path)).code).to.equal('EAGAIN');
      system.closeFd(copy);
      open.push(system.lockFile(path));
    });

    it('goes with a process that is killed', () => {
      const script = `import { system } from './daemon/system.ts';
        system.lockFile(process.argv[1]);
        process.kill(process.pid, 'SIGKILL');`;
      const argv = ['--import', 'tsx', '--input-type=module', '-e', script, path];
      expect(spawnSync(process.execPath, argv).signal).to.equal('SIGKILL');
      open.push(system.lockFile(path));
    });

    it('reports a directory that does not exist', () => {
      const missing = join(directory, 'missing', 'lock');
      expect(errorOf(() => system.lockFile(missing)).code).to.equal('ENOENT');
    });
  });

  describe('listenUnix', () => {
    it('accepts connections', (done) => {
      listen();
      const socket = connect(path, () => {
        socket.destroy();
        done();
      });
    });

    for (const mode of [0o600, 0o660, 0o777]) {
      it(`makes a socket of mode ${mode.toString(8)} whatever the umask`, () => {
        const umask = process.umask(0o027);
        try {
          listen(mode);
        } finally {
          process.umask(umask);
        }
        expect(statSync(path).mode & 0o777).to.equal(mode);
      });
    }

    it('replaces a socket that nobody listens on', () => {
      system.closeFd(system.listenUnix(path, 0o600, 8));
      expect(existsSync(path)).to.equal(true);
      listen();
    });

    it('does not replace a socket that somebody listens on', () => {
      listen();
      const error = errorOf(() => system.listenUnix(path, 0o600, 8));
      expect(error.code).to.equal('EADDRINUSE');
      expect(error.message).to.contain(path);
    });

    it('does not replace a file that is no socket', () => {
      writeFileSync(path, 'precious');
      expect(errorOf(() => system.listenUnix(path, 0o600, 8)).code).to.equal('EEXIST');
      expect(readFileSync(path, 'utf8')).to.equal('precious');
    });

    it('refuses a path that does not fit a socket address', () => {
      const error = errorOf(() => system.listenUnix('x'.repeat(108), 0o600, 8));
      expect(error.code).to.equal('ENAMETOOLONG');
      expect(error.message).to.contain('107');
    });

    it('reports a directory that does not exist', () => {
      const missing = join(directory, 'missing', 'socket');
      expect(errorOf(() => system.listenUnix(missing, 0o600, 8)).code).to.equal('ENOENT');
    });
  });

  describe('without a service manager', () => {
    it('has nobody to notify', () => {
      expect(system.sdNotify('READY=1')).to.equal(false);
    });

    it('has no watchdog', () => {
      expect(system.watchdogMicroseconds()).to.equal(0);
    });

    it('has been passed no sockets', () => {
      expect(system.listenFds()).to.deep.equal([]);
    });
  });

  describe('process attributes', () => {
    it('knows the limit on locked memory', () => {
      const { soft, hard } = system.memlockLimit();
      expect(soft).to.be.at.least(0);
      expect(hard).to.be.at.least(soft);
    });

    it('sets the OOM score', () => {
      const before = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));
      system.setOomScoreAdjust(before + 1);
      expect(Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))).to.equal(before + 1);
    });

    it('locks memory and marks the process as an I/O flusher, or says what is missing', () => {
      for (const call of ['lockMemory', 'setIoFlusher'] as const) {
        const script = `import { system } from './daemon/system.ts';
          try { system.${call}(); console.log('done'); } catch (error) { console.log(error.code); }`;
        const { stdout } = spawnSync(
          process.execPath,
          ['--import', 'tsx', '--input-type=module', '-e', script],
          { encoding: 'utf8' },
        );
        expect(stdout.trim()).to.be.oneOf(['done', 'EPERM', 'ENOMEM']);
      }
    });
  });

  it('locks memory without V8 ending the process when it gives some back', () => {
    const script = `import { system } from './daemon/system.ts';
      import { Worker } from 'node:worker_threads';
      try { system.lockMemory(); } catch (error) { console.error(error.code); }
      let kept;
      for (let round = 0; round < 5; round++) {
        kept = Array.from({ length: 100000 }, (_, i) => ({ i, text: String(i) }));
        for (let i = 0; i < 50; i++) new Function('x', 'for (let j = 0; j < 2000; j++) x += ' + (round * 50 + i) + '; return x')(1);
        kept = undefined;
        gc();
      }
      const worker = new Worker('let a = []; for (let i = 0; i < 100000; i++) a.push({ i });', { eval: true });
      worker.on('exit', (code) => console.log('done', code));`;
    const { stdout } = spawnSync(
      process.execPath,
      ['--expose-gc', '--import', 'tsx', '--input-type=module', '-e', script],
      { encoding: 'utf8' },
    );
    expect(stdout.trim()).to.equal('done 0');
  });

  describe('execute', () => {
    it('becomes another program with the same process id', () => {
      const script = `import { system } from './daemon/system.ts';
        system.execute('/bin/sh', ['sh', '-c', 'echo $$']);`;
      const { stdout, pid } = spawnSync(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', script],
        { encoding: 'utf8' },
      );
      expect(Number(stdout)).to.equal(pid);
    });

    it('reports a program that does not exist', () => {
      const error = errorOf(() => system.execute(join(directory, 'nothing'), ['nothing']));
      expect(error).to.include({ code: 'ENOENT', syscall: 'execve' });
    });
  });

  describe('nbd netlink', () => {
    const attach = {
      index: -1,
      sizeBytes: 0n,
      blockSize: 512,
      serverFlags: 1,
      timeoutSeconds: 0,
      deadConnTimeoutSeconds: 1,
      backendIdentifier: 'test',
      sockets: [],
    };

    it('lists devices, or says that there is no NBD client', async () => {
      const answer = await system.nbdStatus().catch((error: unknown) => error as NativeError);
      if (answer instanceof Error) {
        expect(answer.code).to.equal('ENOENT');
        expect(answer.syscall).to.equal('genl_ctrl_resolve(nbd)');
      } else expect(answer).to.be.an('array');
    });

    it('rejects what the kernel refuses', async () => {
      // No size, no sockets, a device that does not exist: nothing that any kernel carries out.
      const calls = [
        system.nbdConnect(attach),
        system.nbdReconfigure({ index: 0xffffff, backendIdentifier: 'test' }),
        system.nbdDisconnect(0xffffff),
      ];
      for (const { status } of await Promise.allSettled(calls)) expect(status).to.equal('rejected');
    });

    for (const [name, value] of Object.entries({
      sizeBytes: 5,
      blockSize: -1,
      backendIdentifier: 5,
      sockets: ['x'],
    })) {
      it(`refuses a ${name} of the wrong type`, async () => {
        const error = await system
          .nbdConnect({ ...attach, [name]: value })
          .catch((reason: unknown) => reason as Error);
        expect(error).to.be.instanceOf(TypeError);
      });
    }
  });
});

describe('CallQueue', () => {
  it('starts a call only when the one before has ended', async () => {
    const queue = new CallQueue();
    const order: string[] = [];
    let endFirst: () => void = () => undefined;
    const first = queue.run(() => {
      order.push('first starts');
      return new Promise<void>((resolve) => (endFirst = resolve));
    });
    const second = queue.run(() => {
      order.push('second starts');
      return Promise.resolve();
    });
    await Promise.resolve();
    expect(order).to.deep.equal(['first starts']);
    order.push('first ends');
    endFirst();
    await Promise.all([first, second]);
    expect(order).to.deep.equal(['first starts', 'first ends', 'second starts']);
  });

  it('goes on after a call that has failed', async () => {
    const queue = new CallQueue();
    const failed = queue.run(() => Promise.reject(new Error('no')));
    expect(await queue.run(() => Promise.resolve(7))).to.equal(7);
    expect(await failed.catch((error: unknown) => (error as Error).message)).to.equal('no');
  });
});
