import { expect } from 'chai';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runtimeDirectory } from '../../../../daemon/restart/runtime-directory.ts';
import { VolumeLocks, type VolumeLock } from '../../../../daemon/restart/volume-locks.ts';
import { system } from '../../../../daemon/system.ts';

describe('the lock of a volume', () => {
  let directory: string;
  const held: VolumeLock[] = [];

  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'iserd-locks-')), 'locks');
  });
  afterEach(() => {
    for (const lock of held.splice(0)) lock.release();
    rmSync(join(directory, '..'), { recursive: true });
  });

  function take(subject: string, inherited?: number): VolumeLock {
    const inheritance = { take: () => inherited };
    const lock = new VolumeLocks({ directory, inheritance }).take(subject);
    held.push(lock);
    return lock;
  }

  function refusal(subject: string): Error & { code?: string } {
    try {
      take(subject);
    } catch (error) {
      return error as Error;
    }
    throw new Error('it was given');
  }

  it('is given to one only, and whoever comes next is told who has it', () => {
    take('iserd:a:naa.1');
    const { code, message } = refusal('iserd:a:naa.1');
    expect(code).to.equal('already-served');
    expect(message).to.match(
      new RegExp(`^iserd:a:naa\\.1 is served by process ${process.pid} \\(.*mocha`),
    );
  });

  it('is another one for every subject', () => {
    take('iserd:a:naa.1');
    take('iserd:a:naa.2');
  });

  it('can be had again when it has been released, by whoever holds it, once', () => {
    const lock = take('s');
    lock.release();
    lock.release();
    take('s');
  });

  it('comes from the predecessor when it has left one', () => {
    const lock = take('s');
    const copy = system.duplicateFd(lock.fd);
    expect(take('s', copy).fd).to.equal(copy);
    lock.release();
    expect(refusal('s').code).to.equal('already-served');
  });

  it('has a name that says nothing but is the same for every daemon', () => {
    const { name } = take('s');
    expect(name).to.match(/^lock-[0-9a-f]{32}$/);
    expect(readdirSync(directory)).to.deep.equal([name]);
  });
});

describe('the runtime directory', () => {
  it("is one place for root, whatever its service manager's idea", () => {
    expect(runtimeDirectory({ RUNTIME_DIRECTORY: '/run/other' }, 0)).to.equal('/run/iserd');
  });

  it("is the service manager's, the session's or a temporary one for others", () => {
    expect(runtimeDirectory({ RUNTIME_DIRECTORY: '/run/a:/run/b' }, 7)).to.equal('/run/a');
    expect(runtimeDirectory({ XDG_RUNTIME_DIR: '/run/user/7' }, 7)).to.equal('/run/user/7/iserd');
    expect(runtimeDirectory({}, 7)).to.equal('/tmp/iserd-7');
  });
});
