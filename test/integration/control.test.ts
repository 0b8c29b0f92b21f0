/** What an operator sees: `iserctl status`, `inspect` and `discover`, and the control socket behind the first. */
import { expect } from 'chai';
import { statSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { statusSchema } from '../../daemon/control/protocol.ts';
import {
  DaemonFixture,
  mebibyte,
  qemuIo,
  runIserctl,
  type ServingDaemon,
} from '../helpers/daemon-fixture.ts';
import type { Tgt } from '../helpers/tgt.ts';

const sizeBytes = 16 * mebibyte;

describe('the operator’s tool', function () {
  this.timeout(60_000);
  const suite = DaemonFixture.perSuite();
  let tgt: Tgt;
  let daemon: ServingDaemon;
  let portal: string;

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes }] });
    portal = `iscsi://${tgt.address}:${tgt.port}`;
    daemon = await suite.serve(tgt.urls[0]);
  });

  const tool = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runIserctl(...argv);
    expect(code, stderr).to.equal(0);
    return stdout;
  };

  describe('status', () => {
    it('shows the volume as a line of a table', async () => {
      const text = await tool('status', '--socket', daemon.control);
      expect(text).to.match(/^iserd, pid \d+, up .+, 1 of 1 volumes serving\n/);
      const portal = `127\\.0\\.0\\.1:${tgt.port}`;
      expect(text).to.match(
        new RegExp(`^serve +serving +- +${tgt.targetName}/1 +tcp +${portal} +1 +0 `, 'm'),
      );
    });

    it('shows sessions and lanes to those who want all', async () => {
      const text = await tool('status', '--socket', daemon.control, '--verbose');
      expect(text).to.match(new RegExp(`^serve +0 +0 +up +127\\.0\\.0\\.1:${tgt.port} +0 `, 'm'));
      expect(text).to.match(/^ +0 +.* ago +.* +256 MiB +/m);
    });

    it('counts what clients have read and written', async () => {
      const [
        {
          sessions: [before],
        },
      ] = (await daemon.status()).volumes;
      await qemuIo(daemon.uri, 'write 0 64k', 'read 0 128k', 'flush');
      const [
        {
          sessions: [after],
        },
      ] = (await daemon.status()).volumes;
      expect(after.bytesWritten - before.bytesWritten).to.equal(64 * 1024);
      expect(after.bytesRead - before.bytesRead).to.be.at.least(128 * 1024);
      expect(after.writes - before.writes).to.equal(1);
      expect(after.others - before.others).to.be.at.least(1);
      expect(after.errors).to.equal(0);
    });

    it('prints JSON for scripts', async () => {
      const status = statusSchema.parse(
        JSON.parse(await tool('status', '--socket', daemon.control, '--json')),
      );
      expect(status.pid).to.equal(daemon.iserd.child.pid);
      expect(status.volumes[0]).to.include({
        name: 'serve',
        state: 'serving',
        target: tgt.targetName,
        lun: 1,
        sizeBytes,
      });
      expect(status.lanes[0].requestsInFlight).to.equal(0);
    });

    it('says that no daemon runs, with exit code 1', async () => {
      const { code, stderr } = await runIserctl('status', '--socket', '/no/such/socket');
      expect(code).to.equal(1);
      expect(stderr).to.match(
        /^iserctl: \/no\/such\/socket: .*ENOENT.*\(is iserd running\? .*--socket\)\n$/,
      );
    });
  });

  describe('inspect', () => {
    it('shows identity, size and what was negotiated', async () => {
      const text = await tool('inspect', tgt.urls[0]);
      expect(text).to.match(/identity +naa\.6/);
      expect(text).to.match(/size +16777216 bytes \(16 MiB\)/);
      expect(text).to.match(/logical block length +512/);
      expect(text).to.match(/MaxBurstLength +\d+/);
    });

    it('prints JSON for scripts', async () => {
      const report = JSON.parse(await tool('inspect', tgt.urls[0], '--json')) as {
        geometry: { sizeBytes: number };
        keys: Record<string, string>;
      };
      expect(report.geometry.sizeBytes).to.equal(sizeBytes);
      expect(report.keys['HeaderDigest']).to.equal('None');
    });

    it('does not disturb a daemon that serves the same logical unit', async () => {
      await tool('inspect', tgt.urls[0]);
      expect((await daemon.status()).volumes[0].sessions[0]).to.include({
        state: 'up',
        reconnects: 0,
      });
    });

    const failures: readonly (readonly [string, () => string, RegExp])[] = [
      [
        'a target that is not there',
        () => `${portal}/iqn.2026-11.test:nobody/1`,
        /target not found/,
      ],
      [
        'a LUN that is not there',
        () => `${portal}/${tgt.targetName}/7`,
        /no logical unit at this LUN/,
      ],
      [
        'a portal that is not there',
        () => `iscsi://127.0.0.1:1/${tgt.targetName}/1`,
        /127\.0\.0\.1:1: connect-refused/,
      ],
    ];
    for (const [what, url, message] of failures) {
      it(`says in one line that it met ${what}, with exit code 1`, async () => {
        const { code, stdout, stderr } = await runIserctl('inspect', url());
        expect(code).to.equal(1);
        expect(stdout).to.equal('');
        expect(stderr)
          .to.match(/^iserctl: [^\n]*\n$/)
          .and.match(message);
      });
    }
  });

  describe('discover', () => {
    it('lists targets and their portals', async () => {
      expect(await tool('discover', portal)).to.equal(
        `${tgt.targetName}\n  127.0.0.1:${tgt.port},1\n`,
      );
    });

    it('prints JSON for scripts', async () => {
      const targets: unknown = JSON.parse(await tool('discover', portal, '--json'));
      expect(targets).to.deep.equal([
        { targetName: tgt.targetName, portals: [{ address: '127.0.0.1', port: tgt.port, tag: 1 }] },
      ]);
    });

    it('says in one line that nobody listens, with exit code 1', async () => {
      const { code, stderr } = await runIserctl('discover', 'iscsi://127.0.0.1:1');
      expect(code).to.equal(1);
      expect(stderr).to.match(/^iserctl: [^\n]*connect-refused[^\n]*\n$/);
    });
  });

  describe('the control socket', () => {
    it('is for its owner only', () => {
      expect(statSync(daemon.control).mode & 0o777).to.equal(0o600);
    });

    const hostile: readonly (readonly [string, string, RegExp])[] = [
      ['a line that is not JSON', 'nonsense\n', /-32700.*not JSON/],
      ['JSON that is no request', '[1, 2]\n', /-32600/],
      ['an unknown method', '{"jsonrpc":"2.0","id":7,"method":"__proto__"}\n', /"id":7.*-32601/],
    ];
    for (const [what, bytes, answer] of hostile) {
      it(`answers ${what} with an error`, async () => {
        expect(await firstLine(daemon.control, bytes)).to.match(answer);
        expect((await daemon.status()).volumes[0].state).to.equal('serving');
      });
    }

    it('cuts off a client that sends a line without end', async () => {
      const socket = createConnection(daemon.control);
      const closed = new Promise((resolve) => socket.on('close', resolve));
      socket.on('error', () => undefined);
      socket.write('x'.repeat(mebibyte));
      await closed;
      expect((await daemon.status()).volumes[0].state).to.equal('serving');
    });

    it('survives clients that ask and leave without listening', async () => {
      const request = '{"jsonrpc":"2.0","id":1,"method":"status"}\n';
      for (let client = 0; client < 20; client++) {
        const socket: Socket = createConnection(daemon.control);
        await new Promise((resolve) => socket.once('connect', resolve));
        socket.write(request.repeat(50));
        // With answers unread the daemon's end is reset.
        socket.destroy();
      }
      expect((await daemon.status()).volumes[0].state).to.equal('serving');
    });
  });
});

function firstLine(path: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.on('error', reject);
    createInterface({ input: socket }).once('line', (line) => {
      socket.destroy();
      resolve(line);
    });
    socket.write(bytes);
  });
}
