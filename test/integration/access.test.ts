/** Who gets at a volume and at its secrets: socket modes, TCP of this machine, least privileges, secrets in nobody's output. */
import { expect } from 'chai';
import {
  chmodSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import {
  DaemonFixture,
  mebibyte,
  qemuIo,
  runIserctl,
  runIserd,
} from '../helpers/daemon-fixture.ts';
import { freePort } from '../helpers/free-port.ts';
import { IserdProcess, run, type Finished } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

const sizeBytes = 16 * mebibyte;
const user = 'initiator';
const secret = 'sixteen-bytes-01';
const mutual = { user: 'target', secret: 'sixteen-bytes-02' };
const nobody = ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups'];

function asRoot(suite: Mocha.Context): void {
  if (process.getuid?.() !== 0) suite.skip();
}

describe('access', function () {
  this.timeout(90_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  let guarded: Tgt;

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes }] });
    guarded = await suite.tgt({
      luns: [{ sizeBytes }],
      chap: { user, secret },
      mutualChap: mutual,
    });
  });

  describe('to Unix sockets', () => {
    it('is their owner’s alone', async () => {
      const daemon = await fixture.serve(tgt.urls[0]);
      expect(statSync(daemon.socket).mode & 0o777).to.equal(0o600);
      expect(statSync(daemon.control).mode & 0o777).to.equal(0o600);
    });

    it('is a group’s where one is configured', async function () {
      asRoot(this);
      const directory = fixture.directory();
      const control = join(directory, 'control');
      const socket = join(directory, 'nbd');
      const file = fixture.file(`
[control]
socket = "${control}"
group = "nogroup"
[[volume]]
name = "shared"
url = "${tgt.urls[0]}"
socket = "${socket}"
socket_group = "nogroup"
`);
      chmodSync(directory, 0o755);
      const { uri } = await fixture.iserd('--config', file);
      const gid = groupId('nogroup');
      for (const path of [socket, control]) {
        expect(statSync(path).mode & 0o777).to.equal(0o660);
        expect(statSync(path).gid).to.equal(gid);
      }
      const { code, stderr } = await run(nobody[0], [
        ...nobody.slice(1),
        ...['nbdinfo', '--size', uri ?? ''],
      ]);
      expect(code, stderr).to.equal(0);
    });

    it('is refused to others by the kernel', async function () {
      asRoot(this);
      const { uri, socket } = await fixture.serve(tgt.urls[0]);
      chmodSync(join(socket, '..'), 0o755);
      const argv = [...nobody.slice(1), 'nbdinfo', '--size', uri];
      const { code, stderr } = await run(nobody[0], argv);
      expect(code).not.to.equal(0);
      expect(stderr).to.match(/Permission denied/);
    });
  });

  describe('by TCP', () => {
    it('is there for this machine when it is asked for, and only then', async () => {
      const port = await freePort();
      const argv = ['serve', tgt.urls[0], '--listen', `127.0.0.1:${port}`];
      const daemon = await fixture.iserd(...argv);
      await qemuIo(`nbd://127.0.0.1:${port}/serve`, 'write -P 0x21 0 1M', 'read -P 0x21 0 1M');
      expect(daemon.uri).to.equal(undefined);
      expect(listeningPorts(daemon.child.pid ?? 0)).to.deep.equal([port]);
      expect((await daemon.stop()).code).to.equal(0);
    });

    it('is not there by default', async () => {
      const daemon = await fixture.serve(tgt.urls[0]);
      expect(listeningPorts(daemon.iserd.child.pid ?? 0)).to.deep.equal([]);
    });

    it('from elsewhere is refused without TLS', async () => {
      const { code, stderr } = await runIserd('serve', tgt.urls[0], '--listen', '0.0.0.0:10809');
      expect(code).to.equal(2);
      expect(stderr).to.match(/^iserd: --listen: 0\.0\.0\.0 can be reached by others: .*TLS.*\n$/);
    });

    it('counts clients down when they go', async () => {
      const port = await freePort();
      const control = join(fixture.directory(), 'control');
      const listen = ['--listen', `127.0.0.1:${port}`];
      await fixture.iserd('serve', tgt.urls[0], ...listen, '--control-socket', control);
      const socket = connect(port, '127.0.0.1');
      await new Promise((resolve) => socket.once('data', resolve));
      const clients = async (): Promise<number> => {
        const { stdout } = await runIserctl('status', '--json', '--socket', control);
        const status = JSON.parse(stdout) as { volumes: { sessions: { clients: number }[] }[] };
        return status.volumes[0].sessions[0].clients;
      };
      expect(await clients()).to.equal(1);
      socket.destroy();
      await waitUntil('the client is gone', async () => (await clients()) === 0);
    });
  });

  describe('to secrets', () => {
    const url = (): string => guarded.urls[0].replace('://', `://${user}@`);
    const urlWithSecret = (): string => guarded.urls[0].replace('://', `://${user}%${secret}@`);
    const mutualOptions = (): string[] => [
      '--mutual-chap-user',
      mutual.user,
      '--mutual-chap-secret-file',
      fixture.file(mutual.secret),
    ];

    function expectNothingSaid({ stdout, stderr }: Finished): void {
      for (const text of [stdout, stderr]) {
        expect(text).not.to.include(secret);
        expect(text).not.to.include(mutual.secret);
      }
    }

    for (const [how, argv] of [
      ['a file', () => [url(), '--chap-secret-file', fixture.file(secret)]],
      ['the URL', () => [urlWithSecret()]],
    ] as const) {
      it(`from ${how} is nobody’s who reads logs, status or inspection`, async () => {
        const options = [...argv(), ...mutualOptions(), '--log-level', 'debug'];
        const [first, ...rest] = options;
        const daemon = await fixture.serve(first, ...rest);
        await qemuIo(daemon.uri, 'read 0 4k');
        // A lost connection means another login, and more to say.
        await guarded.kill();
        await guarded.launch();
        await qemuIo(daemon.uri, 'read 0 4k');
        for (const json of [[], ['--json']])
          expectNothingSaid(await runIserctl('status', '--socket', daemon.control, ...json));
        expectNothingSaid(await daemon.iserd.stop());
      });
    }

    it('is in the daemon’s memory once, however many lanes use it', async () => {
      const file = fixture.file(secret);
      const options = ['--chap-secret-file', file, '--lanes', '2', '--log-level', 'debug'];
      const daemon = await fixture.serve(url(), ...options);
      await qemuIo(daemon.uri, 'read 0 4k');
      expect(copiesInMemory(daemon.iserd.child.pid ?? 0, Buffer.from(secret))).to.equal(1);
    });

    it('from the URL is not shown by iserctl', async () => {
      for (const json of [[], ['--json']]) {
        const inspected = await runIserctl('inspect', urlWithSecret(), ...json);
        expect(inspected.code, inspected.stderr).to.equal(0);
        expectNothingSaid(inspected);
      }
    });

    const mistakes: readonly (readonly [string, () => readonly string[]])[] = [
      ['a URL given twice', () => ['serve', urlWithSecret(), urlWithSecret()]],
      ['an option that there is not', () => ['serve', urlWithSecret(), '--tpyo']],
      ['a URL without "serve"', () => [urlWithSecret()]],
      ['a URL with a bad host', () => ['serve', urlWithSecret().replace('127', '!27')]],
      ['a URL with two slashes', () => ['serve', `${urlWithSecret()}/x/y`]],
      ['a URL as a file name', () => ['--config', urlWithSecret()]],
      ['a URL with a bad secret', () => ['serve', urlWithSecret().replace(secret, `${secret}%zz`)]],
      ['a URL with a slash in the secret', () => ['serve', urlWithSecret().replace('@', '/a@')]],
    ];
    for (const [what, argv] of mistakes) {
      it(`is not shown because of ${what}`, async () => {
        const finished = await runIserd(...argv());
        expect(finished.code, finished.stderr).not.to.equal(0);
        expect(finished.stderr).not.to.equal('');
        expectNothingSaid(finished);
      });
    }

    it('is not shown by a configuration file that has it in a URL', async () => {
      const file = fixture.file(
        `[[volume]]\nname = "d"\nurl = "${urlWithSecret()}"\ndevice = "auto"\n`,
      );
      const finished = await runIserd('--config', file);
      expect(finished.code).to.equal(2);
      expect(finished.stderr).to.include('chap_secret_file');
      expectNothingSaid(finished);
    });

    it('is refused from a file that others may read, with the reason', async () => {
      const file = fixture.file(secret);
      chmodSync(file, 0o644);
      const finished = await runIserd('serve', url(), '--chap-secret-file', file);
      expect(finished.code).to.equal(2);
      expect(finished.stderr).to.equal(
        `iserd: ${file}: mode 0644 lets others read the secret; chmod 600 it\n`,
      );
    });
  });

  describe('of a daemon without privileges', () => {
    it('is enough to serve a socket', async function () {
      asRoot(this);
      const directory = fixture.directory();
      const socket = join(directory, 'nbd');
      const iserd = await IserdProcess.start(
        ['serve', tgt.urls[0], '--socket', socket],
        (child) => {
          fixture.onCleanUp(() => child.kill('SIGKILL'));
        },
        // Still root by name: another user may have no way to this tree.
        ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'],
      );
      const status = readFileSync(`/proc/${iserd.child.pid}/status`, 'utf8');
      expect(status).to.match(/^CapEff:\s+0000000000000000$/m);
      await qemuIo(iserd.uri ?? '', 'write -P 0x66 0 1M', 'read -P 0x66 0 1M', 'flush');
      const { code, stderr } = await iserd.stop();
      expect(code, stderr).to.equal(0);
      expect(stderr).not.to.match(/ (warn|error): /);
    });
  });
});

/** Third field of /etc/group. */
function groupId(name: string): number {
  const entry = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`${name}:`));
  return Number(entry?.split(':')[2]);
}

/** Inodes of the sockets that a process has open. */
function openSockets(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

/** TCP ports that a process listens on (proc(5): /proc/PID/net/tcp, state 0A, by inode). */
function listeningPorts(pid: number): number[] {
  return openSockets(pid).flatMap((inode) =>
    ['tcp', 'tcp6'].flatMap((family) =>
      readFileSync(`/proc/${pid}/net/${family}`, 'utf8')
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields[3] === '0A' && fields[9] === inode)
        .map((fields) => Number.parseInt(fields[1].split(':')[1], 16)),
    ),
  );
}

/** How often the bytes stand in memory that a process can write to. */
function copiesInMemory(pid: number, bytes: Buffer): number {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const chunk = Buffer.alloc(mebibyte);
  let copies = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (match === null) continue;
      const [, from, to] = match;
      const end = Number.parseInt(to, 16);
      for (let at = Number.parseInt(from, 16); at < end; at += chunk.length - bytes.length + 1) {
        const length = readSync(memory, chunk, 0, Math.min(chunk.length, end - at), at);
        const found = chunk.subarray(0, length);
        for (
          let index = found.indexOf(bytes);
          index !== -1;
          index = found.indexOf(bytes, index + 1)
        )
          copies++;
        if (at + length >= end) break;
      }
    }
  } finally {
    closeSync(memory);
  }
  return copies;
}
