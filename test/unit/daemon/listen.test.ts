/** system.listenUnix and system.listenTcp: who may connect, and which of several daemons gets the place. */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { system } from '../../../daemon/system.ts';
import { freePort } from '../../helpers/free-port.ts';
import { repository } from '../../helpers/programs.ts';

/** Listens, says how that went, and stays until its standard input ends. */
const daemon = `
  const { createRequire } = require('node:module');
  const native = createRequire(process.argv[1] + 'x')('./native/build/Release/iserd.node');
  process.stdin.once('data', () => {
    let said = 'listens';
    try { native.system.listenUnix(process.argv[2], 0o600, 8); } catch (error) { said = error.code; }
    process.stdout.write(said + '\\n');
  });
  process.stdin.on('end', () => process.exit());
  process.stdout.write('here\\n');
`;

function line(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.stdout?.once('data', (chunk: Buffer) => {
      resolve(chunk.toString().trim());
    });
  });
}

describe('a listening socket', () => {
  let directory: string;
  let path: string;
  const fds: number[] = [];
  const children: ChildProcess[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-listen-'));
    path = join(directory, 'socket');
  });
  afterEach(async () => {
    for (const fd of fds.splice(0)) system.closeFd(fd);
    for (const child of children.splice(0)) {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.stdin?.end();
      await ended;
    }
    rmSync(directory, { recursive: true });
  });

  it('on a path belongs to the group that was named', function () {
    if (process.getuid?.() !== 0) this.skip();
    fds.push(system.listenUnix(path, 0o660, 8, 'daemon'));
    const { mode, gid } = lstatSync(path);
    expect(mode & 0o777).to.equal(0o660);
    expect(gid).to.equal(1);
  });

  it('on a stale path goes to exactly one of several daemons that start at once', async () => {
    system.closeFd(system.listenUnix(path, 0o600, 8));
    const count = 4;
    for (let i = 0; i < count; i++)
      children.push(
        spawn(process.execPath, ['-e', daemon, '--', repository, path], {
          stdio: ['pipe', 'pipe', 'inherit'],
        }),
      );
    await Promise.all(children.map(line));
    const said = children.map(line);
    for (const child of children) child.stdin?.write('go');
    expect((await Promise.all(said)).sort()).to.deep.equal([
      ...Array.from({ length: count - 1 }, () => 'EADDRINUSE'),
      'listens',
    ]);
  });

  it('on TCP is on that address alone', async () => {
    const port = await freePort();
    fds.push(system.listenTcp('127.0.0.1', port, 8));
    await reach('127.0.0.1', port);
    expect(await failure(reach('127.0.0.2', port))).to.equal('ECONNREFUSED');
  });

  it('on TCP is refused where somebody listens, with the address', async () => {
    const port = await freePort();
    fds.push(system.listenTcp('127.0.0.1', port, 8));
    expect(() => system.listenTcp('127.0.0.1', port, 8)).to.throw(
      new RegExp(`127\\.0\\.0\\.1 port ${port}`),
    );
  });
});

function reach(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}

async function failure(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  return undefined;
}
