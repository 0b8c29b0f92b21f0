import { expect } from 'chai';
import { KeptSockets } from '../../../../daemon/lane/kept-sockets.ts';
import {
  Inheritance,
  isInheritedName,
  Legacy,
  passedByExecve,
} from '../../../../daemon/restart/inheritance.ts';
import { NbdEnd } from '../../../../src/nbd/end.ts';

/** Records the system calls of a process that the service manager has passed `listenFds`. */
class FakeProcess {
  readonly calls: string[] = [];
  listening: { fd: number; name: string; listening: boolean }[] = [];
  hasManager = true;
  readonly closeFd = (fd: number): void => {
    this.calls.push(`close ${fd}`);
  };
  readonly shutdownFd = (fd: number): void => {
    this.calls.push(`shutdown ${fd}`);
  };
  readonly listenFds = () => this.listening;
  readonly sdNotify = (state: string, fds: readonly number[] = []): boolean => {
    this.calls.push(`${state.replaceAll('\n', ' ')}${fds.map((fd) => ` <${fd}>`).join('')}`);
    return this.hasManager;
  };
  readonly execute = (
    program: string,
    argv: readonly string[],
    fds: readonly number[] = [],
  ): never => {
    this.calls.push(`${program} ${argv.join(' ')} <${fds.join(',')}>`);
    throw new Error('nobody executes in a test');
  };
}

describe('what a daemon inherits', () => {
  let process: FakeProcess;
  beforeEach(() => {
    process = new FakeProcess();
  });

  it('comes from the service manager by name, once, and is forgotten there', () => {
    process.listening = [
      { fd: 3, name: 'nbd5-0', listening: false },
      { fd: 4, name: 'www', listening: true },
    ];
    const inheritance = Inheritance.ofThisProcess(process, {});
    expect(inheritance.take('nbd5-0')).to.equal(3);
    expect(inheritance.take('nbd5-0')).to.equal(undefined);
    expect(inheritance.take('www')).to.equal(undefined);
    expect(process.calls).to.deep.equal(['FDSTOREREMOVE=1 FDNAME=nbd5-0']);
  });

  it('comes across execve, and is not passed on unasked', () => {
    const environment = { ISERD_INHERITED_FDS: 'nbd5-0=17,lock-0a=18', HOME: '/' };
    const inheritance = Inheritance.ofThisProcess(process, environment);
    expect(inheritance.take('nbd5-0')).to.equal(17);
    expect(inheritance.take('lock-0a')).to.equal(18);
    expect(environment).to.deep.equal({ HOME: '/' });
  });

  it('is nothing that our predecessor cannot have written', () => {
    for (const text of ['', 'nbd5-0', 'nbd5-0=', 'nbd5-0=x', 'other=3', '=3', ','])
      expect(passedByExecve({ ISERD_INHERITED_FDS: text }).size, text).to.equal(0);
  });

  it('is ended when nobody wants it: sockets for the kernel to see, locks silently', () => {
    const passed = new Map([
      ['nbd5-0', 17],
      ['lock-0a', 18],
    ]);
    new Inheritance(passed, process).discard();
    expect(process.calls.filter((call) => !call.startsWith('FDSTORE'))).to.deep.equal([
      'shutdown 17',
      'close 17',
      'close 18',
    ]);
  });

  it('has names of its own', () => {
    expect(['nbd0-0', 'nbd12-3', 'lock-ff'].every(isInheritedName)).to.equal(true);
    expect(['nbd', 'unknown', 'nbd0', 'lock-', 'connection'].some(isInheritedName)).to.equal(false);
  });
});

describe('what a daemon leaves', () => {
  let process: FakeProcess;
  let legacy: Legacy;
  beforeEach(() => {
    process = new FakeProcess();
    legacy = new Legacy();
    legacy.add('nbd5-0', 17);
    legacy.add('nbd5-1', 18);
  });

  it('is stored with the service manager, each by its name', () => {
    expect(legacy.store(process)).to.equal(true);
    expect(process.calls).to.deep.equal([
      'FDSTORE=1 FDNAME=nbd5-0 <17>',
      'FDSTORE=1 FDNAME=nbd5-1 <18>',
    ]);
  });

  it('is stored nowhere without a service manager, or without anything to store', () => {
    expect(new Legacy().store(process)).to.equal(false);
    process.hasManager = false;
    expect(legacy.store(process)).to.equal(false);
  });

  it('goes to the successor across execve, without what was passed to this process', () => {
    const environment: NodeJS.ProcessEnv = {
      LISTEN_FDS: '1',
      LISTEN_PID: '9',
      LISTEN_FDNAMES: 'x',
    };
    expect(() => legacy.execute(process, '/bin/node', ['node', 'iserd'], environment)).to.throw();
    expect(process.calls).to.deep.equal(['/bin/node node iserd <17,18>']);
    expect(environment).to.deep.equal({ ISERD_INHERITED_FDS: 'nbd5-0=17,nbd5-1=18' });
    const successor = Inheritance.ofThisProcess(process, environment);
    expect(successor.take('nbd5-1')).to.equal(18);
  });

  it('can be taken back', () => {
    expect(legacy.take('nbd5-0')).to.equal(17);
    expect(legacy.take('nbd5-0')).to.equal(undefined);
    legacy.store(process);
    expect(process.calls).to.deep.equal(['FDSTORE=1 FDNAME=nbd5-1 <18>']);
  });
});

describe('sockets that outlive their clients', () => {
  it('are those of clients that were drained; copies of the others are closed', () => {
    const closed: number[] = [];
    const kept = new KeptSockets({
      duplicateFd: (fd) => fd + 100,
      closeFd: (fd) => {
        closed.push(fd);
      },
    });
    for (const client of [1, 2, 3]) kept.add(client, client);
    kept.onClosed(1, NbdEnd.drained);
    kept.onClosed(2, NbdEnd.requested);
    kept.onClosed(9, NbdEnd.drained);
    expect(kept.sockets).to.deep.equal([{ client: 1, fd: 101 }]);
    expect(closed).to.deep.equal([102]);
  });
});
