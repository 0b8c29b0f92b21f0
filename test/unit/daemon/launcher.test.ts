import { expect } from 'chai';
import {
  becomeIoFlusher,
  holdMemory,
  mayServeDevice,
  type LauncherCalls,
  type LauncherSurroundings,
} from '../../../daemon/launcher.ts';

interface Executed {
  readonly program: string;
  readonly argv: readonly string[];
  readonly fds: readonly number[];
  readonly environment: NodeJS.ProcessEnv;
}

class SystemError extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** In the place of a process that ends where execve(2) begins. */
class Gone extends Error {}

const ipcLock = '0000000000004000';

describe('the launcher', () => {
  let executed: Executed[];
  let done: string[];

  beforeEach(() => {
    executed = [];
    done = [];
  });

  function surroundings(
    calls: Partial<LauncherCalls> = {},
    more: Partial<LauncherSurroundings> = {},
    proc: Readonly<Record<string, string>> = {},
  ): LauncherSurroundings {
    const environment: NodeJS.ProcessEnv = { ...more.environment };
    return {
      calls: {
        setIoFlusher: () => done.push('flusher'),
        execute: (program, argv, fds = []) => {
          executed.push({ program, argv, fds, environment: { ...environment } });
          throw new Gone();
        },
        listenFds: () => [],
        lockMemory: () => done.push('locked'),
        memlockLimit: () => ({ soft: 65536, hard: 65536 }),
        setOomScoreAdjust: (value) => done.push(`oom ${value}`),
        ...calls,
      },
      pid: 7,
      program: '/usr/bin/node',
      argv: ['node', '--flag', '/usr/bin/iserd', '--config', 'x'],
      readProc: (name) =>
        proc[name] ?? (name === 'status' ? `Name:\tnode\nCapEff:\t${ipcLock}\n` : '0\n'),
      ...more,
      environment,
    };
  }

  const fails = (code: string) => () => {
    throw new SystemError(code);
  };

  describe('looks at a command line', () => {
    const lines: readonly (readonly [string, boolean])[] = [
      ['serve iscsi://h/iqn.2026-11.test:d/0 --device auto', true],
      ['serve iscsi://h/iqn.2026-11.test:d/0 --device=/dev/nbd3', true],
      ['--config /etc/iserd.toml', true],
      ['--config=/etc/iserd.toml', true],
      ['serve iscsi://h/iqn.2026-11.test:d/0 --socket /run/d', false],
      ['--help', false],
    ];
    for (const [line, device] of lines) {
      it(`and finds ${device ? 'that a device may be served' : 'no device'} in "${line}"`, () => {
        expect(mayServeDevice(line.split(' '))).to.equal(device);
      });
    }
  });

  describe('makes every thread an I/O flusher', () => {
    it('by executing the same command line again, with the flag set first', () => {
      becomeIoFlusher(surroundings());
      expect(done).to.deep.equal(['flusher']);
      expect(executed).to.have.length(1);
      expect(executed[0]).to.deep.include({
        program: '/usr/bin/node',
        argv: ['node', '--flag', '/usr/bin/iserd', '--config', 'x'],
      });
    });

    it('only once', () => {
      becomeIoFlusher(surroundings());
      const second = surroundings({}, { environment: executed[0].environment });
      expect(becomeIoFlusher(second)).to.equal('');
      expect(executed).to.have.length(1);
    });

    it('in a process that has the environment of another one, too', () => {
      becomeIoFlusher(surroundings());
      const child = surroundings({}, { environment: executed[0].environment, pid: 8 });
      becomeIoFlusher(child);
      expect(executed).to.have.length(2);
    });

    it('and passes on the sockets that it was given, and nothing else', () => {
      const listenFds = () => [
        { fd: 3, name: 'a', listening: true },
        { fd: 4, name: 'b', listening: false },
      ];
      const environment = { ISERD_INHERITED_FDS: 'nbd0-0=9,nbd12-1=11,other=12' };
      becomeIoFlusher(surroundings({ listenFds }, { environment }));
      expect(executed[0].fds).to.deep.equal([3, 4, 9, 11]);
    });

    it('or says which capability is missing, and goes on', () => {
      const without = surroundings({ setIoFlusher: fails('EPERM') });
      expect(becomeIoFlusher(without)).to.equal('CAP_SYS_RESOURCE is missing');
      expect(executed).to.deep.equal([]);
    });

    it('or says what else went wrong, and tries again next time', () => {
      const without = surroundings({ execute: fails('ENOEXEC') });
      expect(becomeIoFlusher(without)).to.equal('ENOEXEC');
      expect(without.environment).to.deep.equal({});
    });
  });

  describe('holds memory', () => {
    it('with CAP_IPC_LOCK under any limit', () => {
      expect(holdMemory(surroundings())).to.deep.equal([]);
      expect(done).to.deep.equal(['oom -1000', 'locked']);
    });

    it('without the capability when there is no limit', () => {
      const unlimited = surroundings(
        { memlockLimit: () => ({ soft: Infinity, hard: Infinity }) },
        {},
        { status: 'CapEff:\t0000000000000000\n' },
      );
      expect(holdMemory(unlimited)).to.deep.equal([]);
      expect(done).to.include('locked');
    });

    it('not at all under a limit', () => {
      const limited = surroundings({}, {}, { status: 'CapEff:\t0000000000000400\n' });
      const [warning] = holdMemory(limited);
      expect(warning).to.match(/not locked.*CAP_IPC_LOCK.*RLIMIT_MEMLOCK/);
      expect(done).not.to.include('locked');
    });

    it('and leaves an OOM score alone that is as low already', () => {
      holdMemory(surroundings({}, {}, { oom_score_adj: '-1000\n' }));
      expect(done).to.deep.equal(['locked']);
    });

    it('and says so when the OOM score cannot be lowered', () => {
      const warnings = holdMemory(surroundings({ setOomScoreAdjust: fails('EACCES') }));
      expect(warnings).to.deep.equal(['the OOM score stays as it is: CAP_SYS_RESOURCE is missing']);
    });
  });
});
