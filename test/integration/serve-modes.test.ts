/** The ways of being served by `iserd serve`: Unix socket, inetd style, socket activation; and how the daemon ends. */
import { expect } from 'chai';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { system } from '../../daemon/system.ts';
import {
  DaemonFixture,
  mebibyte,
  qemuIo,
  runIserd,
  type Watched,
} from '../helpers/daemon-fixture.ts';
import { ConnectionGone, NbdSocketClient } from '../helpers/nbd-socket.ts';
import { iserdPath, runOk } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

const sizeBytes = 64 * mebibyte;
/** NBD_EPERM (proto.md: Error values). */
const notPermitted = 1;

interface ExportInfo {
  readonly 'export-size': number;
  readonly is_read_only: boolean;
  readonly can_trim: boolean;
  readonly block_size_minimum: number;
}

async function exportInfo(uri: string): Promise<ExportInfo> {
  const info = JSON.parse(await runOk('nbdinfo', ['--json', '--no-content', uri])) as {
    exports: ExportInfo[];
  };
  return info.exports[0];
}

describe('iserd serve', function () {
  this.timeout(90_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;

  before(async () => {
    tgt = await suite.tgt({
      luns: [
        { sizeBytes },
        { sizeBytes: 16 * mebibyte, blockSize: 4096 },
        { sizeBytes: 16 * mebibyte },
        { sizeBytes: 16 * mebibyte },
      ],
    });
    const update = ['--op', 'update', '--mode', 'logicalunit', '--tid', '1'];
    await tgt.admin(...update, '--lun', '3', '--params', 'readonly=1');
    await tgt.admin(...update, '--lun', '4', '--params', 'thin_provisioning=1');
  });

  describe('--stdio', () => {
    /** Accepts on a Unix socket and starts a daemon for every client, as inetd does with "nowait". */
    function inetd(started: Watched[]): Promise<string> {
      const path = join(fixture.directory(), 'inetd');
      const server = createServer({ pauseOnConnect: true }, (client: Socket) => {
        const argv = [iserdPath, 'serve', tgt.urls[0], '--stdio'];
        started.push(fixture.spawn(process.execPath, argv, [client, 'ignore', 'pipe']));
        client.destroy();
      });
      fixture.onCleanUp(() => server.close());
      return new Promise((resolve) =>
        server.listen(path, () => {
          resolve(path);
        }),
      );
    }

    it('serves the client on standard input and exits 0 when it has gone', async () => {
      const started: Watched[] = [];
      const uri = `nbd+unix:///?socket=${await inetd(started)}`;
      expect((await exportInfo(uri))['export-size']).to.equal(sizeBytes);
      for (const { ended } of started) {
        const { code, stderr } = await ended;
        expect(code, stderr).to.equal(0);
      }
      expect(started).not.to.have.length(0);
    });

    it('is refused when standard input is no socket', async () => {
      const { code, stderr } = await runIserd('serve', tgt.urls[0], '--stdio');
      expect(code).to.equal(2);
      expect(stderr).to.equal('iserd: --stdio: standard input is no socket\n');
    });

    it('carries data', async () => {
      const uri = `nbd+unix:///?socket=${await inetd([])}`;
      await qemuIo(uri, 'write -P 0x5a 1M 2M', 'read -P 0x5a 1M 2M', 'flush');
    });
  });

  describe('socket activation', () => {
    /** Starts the daemon as a service manager does (sd_listen_fds(3)): descriptor 3 and its environment. */
    function activate(fd: number): Watched {
      const script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"';
      const argv = ['-c', script, 'sh', process.execPath, iserdPath, 'serve', tgt.urls[0]];
      return fixture.spawn('sh', argv, ['ignore', 'pipe', 'pipe', fd]);
    }

    it('serves clients of a listening socket that was passed, and leaves its file alone', async () => {
      const path = join(fixture.directory(), 'activated');
      const fd = system.listenUnix(path, 0o600, 8);
      fixture.onCleanUp(() => {
        system.closeFd(fd);
      });
      const daemon = activate(fd);
      const uri = `nbd+unix:///?socket=${path}`;
      await qemuIo(uri, 'write -P 0x77 0 64k', 'read -P 0x77 0 64k');
      expect((await exportInfo(uri))['export-size']).to.equal(sizeBytes);
      daemon.child.kill('SIGTERM');
      const { code, stdout, stderr } = await daemon.ended;
      expect(code, stderr).to.equal(0);
      expect(stdout).to.equal('ready serve\n');
      expect(existsSync(path)).to.equal(true);
    });

    it('serves nbdcopy: nbdcopy [ iserd serve URL ] FILE', async () => {
      const file = join(fixture.directory(), 'copy');
      await runOk('nbdcopy', ['[', process.execPath, iserdPath, 'serve', tgt.urls[0], ']', file]);
      expect(readFileSync(file).equals(readFileSync(tgt.files[0]))).to.equal(true);
    });
  });

  describe('its Unix socket', () => {
    it('is refused to a second daemon while the first serves on', async () => {
      const first = await fixture.serve(tgt.urls[0]);
      const second = await runIserd('serve', tgt.urls[0], '--socket', first.socket);
      expect(second.code, second.stderr).to.equal(1);
      expect(second.stderr).to.match(/ error: volume serve: .*EADDRINUSE/);
      expect((await exportInfo(first.uri))['export-size']).to.equal(sizeBytes);
    });

    it('is taken over from a daemon that was killed', async () => {
      const first = await fixture.serve(tgt.urls[0]);
      await first.iserd.stop('SIGKILL');
      const second = await fixture.iserd('serve', tgt.urls[0], '--socket', first.socket);
      expect((await exportInfo(second.uri ?? ''))['export-size']).to.equal(sizeBytes);
    });

    it('may be removed by somebody else: the daemon ends all the same', async () => {
      const daemon = await fixture.serve(tgt.urls[0]);
      rmSync(daemon.socket);
      const { code, stderr } = await daemon.iserd.stop();
      expect(code, stderr).to.equal(0);
    });

    it('is removed at the end', async () => {
      const daemon = await fixture.serve(tgt.urls[0]);
      await daemon.iserd.stop();
      expect(existsSync(daemon.socket)).to.equal(false);
      expect(existsSync(daemon.control)).to.equal(false);
    });
  });

  describe('what it serves', () => {
    it('is read-only when asked for, and a write fails', async () => {
      const { uri, socket } = await fixture.serve(tgt.urls[0], '--read-only');
      expect((await exportInfo(uri)).is_read_only).to.equal(true);
      const client = await NbdSocketClient.connect(socket);
      expect((await client.write(0, new Uint8Array(4096))).error).to.equal(notPermitted);
      expect((await client.read(0, 4096)).error).to.equal(0);
    });

    it('is read-only when the target says so', async () => {
      const { uri } = await fixture.serve(tgt.urls[2]);
      expect((await exportInfo(uri)).is_read_only).to.equal(true);
    });

    it('has the block length of the logical unit, here 4096 bytes', async () => {
      const { uri } = await fixture.serve(tgt.urls[1]);
      expect((await exportInfo(uri)).block_size_minimum).to.equal(4096);
      await qemuIo(uri, 'write -P 0x33 4k 12k', 'read -P 0x33 4k 12k', 'read -P 0 0 4k', 'flush');
    });

    it('can be trimmed when the logical unit is thin provisioned, and then reads zeroes', async () => {
      const { uri } = await fixture.serve(tgt.urls[3]);
      expect((await exportInfo(uri)).can_trim).to.equal(true);
      await qemuIo(
        uri,
        'write -P 0x44 0 2M',
        'discard 1M 1M',
        'read -P 0x44 0 1M',
        'read -P 0 1M 1M',
      );
    });
  });

  describe('its end', () => {
    it('comes with exit code 0 although idle clients are connected', async () => {
      const daemon = await fixture.serve(tgt.urls[0]);
      const client = await NbdSocketClient.connect(daemon.socket);
      const { code, stderr } = await daemon.iserd.stop('SIGTERM');
      expect(code, stderr).to.equal(0);
      await client.closed;
    });

    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      it(`on ${signal} loses nothing that was acknowledged to a client that is writing`, async () => {
        const daemon = await fixture.serve(tgt.urls[0]);
        const acknowledged = await writeUntilGone(daemon.socket, 200, () =>
          daemon.iserd.child.kill(signal),
        );
        const { code, stderr } = await daemon.iserd.ended;
        expect(code, stderr).to.equal(0);
        expectOnDisk(tgt.files[0], acknowledged);
      });
    }

    it('comes with exit code 0 at once while the target cannot be reached', async () => {
      const daemon = fixture.spawn(process.execPath, [
        iserdPath,
        'serve',
        `iscsi://127.0.0.1:1/${tgt.targetName}/1`,
        '--socket',
        join(fixture.directory(), 'nbd'),
      ]);
      await waitUntil('it has tried to connect', () => daemon.stderr.includes('connect-refused'));
      daemon.child.kill('SIGTERM');
      const { code, stderr } = await daemon.ended;
      expect(code, stderr).to.equal(0);
      expect(stderr)
        .to.match(/ stopping: SIGTERM\n/)
        .and.not.to.match(/ error: /);
    });

    it('is not brought about by a log reader that goes away', async () => {
      const daemon = await fixture.serve(tgt.urls[0], '--log-level', 'debug');
      daemon.iserd.child.stderr?.destroy();
      daemon.iserd.child.stdout?.destroy();
      for (let client = 0; client < 3; client++) {
        await (await NbdSocketClient.connect(daemon.socket)).disconnect();
      }
      expect((await daemon.status()).volumes[0].state).to.equal('serving');
      expect((await daemon.iserd.stop()).code).to.equal(0);
    });
  });
});

const blockBytes = 64 * 1024;
const slots = sizeBytes / blockBytes;
const depth = 16;

/**
 * Writes numbered blocks, `depth` at a time, until the server goes; calls `midway` once `count` are acknowledged. Returns which
 * number was acknowledged last for each place. A place is written again only when its last write is acknowledged.
 */
async function writeUntilGone(
  socket: string,
  count: number,
  midway: () => void,
): Promise<ReadonlyMap<number, number>> {
  const client = await NbdSocketClient.connect(socket);
  const acknowledged = new Map<number, number>();
  let next = 0;
  let total = 0;
  const writer = async (): Promise<void> => {
    for (;;) {
      const number = next++;
      const block = new Uint8Array(blockBytes).fill((number % 251) + 1);
      const { error } = await client.write((number % slots) * blockBytes, block);
      expect(error).to.equal(0);
      acknowledged.set(number % slots, number);
      if (++total === count) midway();
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: depth }, writer));
  for (const end of ends) {
    if (end.status === 'rejected' && !(end.reason instanceof ConnectionGone))
      throw end.reason as Error;
  }
  expect(total).to.be.at.least(count);
  return acknowledged;
}

/** Every place holds the block acknowledged last, or a later one whose answer was lost. */
function expectOnDisk(file: string, acknowledged: ReadonlyMap<number, number>): void {
  const disk = readFileSync(file);
  for (const [slot, number] of acknowledged) {
    const block = disk.subarray(slot * blockBytes, (slot + 1) * blockBytes);
    const possible = [number, number + slots].map((n) => (n % 251) + 1);
    expect(possible, `place ${slot}`).to.include(block[0]);
    expect(block.equals(Buffer.alloc(blockBytes, block[0])), `place ${slot} is whole`).to.equal(
      true,
    );
  }
}
