/** A machine from the installation of the package to its shutdown with a mounted volume; second-boot.test.ts is its next boot. */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { iserctlOfPackage, packages, registerNode } from './packages.ts';
import {
  deviceOf,
  failedUnits,
  journal,
  property,
  serving,
  systemctl,
  systemctlOk,
} from './service.ts';
import { mountPoint, writeFiles } from './kept-files.ts';
import { isAttached, queueAttribute, sizeOf, waitingProcesses } from '../vm/guest/block-device.ts';
import { BusyFileSystem } from '../vm/guest/busy-file-system.ts';
import { Shell } from '../vm/guest/shell.ts';
import { run, runOk } from '../helpers/programs.ts';
import { waitUntil } from '../helpers/wait.ts';

const progressTimeoutMs = 120_000;

const targetUnit = `[Unit]
Description=Storage of the tests
Before=network-online.target iserd.service
Wants=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=${process.cwd()}
ExecStart=/bin/bash test/system/target.sh
TimeoutStopSec=5
[Install]
WantedBy=multi-user.target
`;

/** What the kernel logs when it loses or gets a socket of the device. */
async function socketChanges(device: string): Promise<number> {
  const log = await runOk('dmesg', []);
  const pattern = `${basename(device)}: (reconnected socket|Receive control failed|shutting down)`;
  return (log.match(new RegExp(pattern, 'g')) ?? []).length;
}

describe('the package', () => {
  before(async () => {
    writeFileSync('/etc/systemd/system/iserd-test-target.service', targetUnit);
    await systemctlOk('enable', '--now', 'iserd-test-target.service');
    await registerNode();
    // An index of all manuals is nothing to emulate (dpkg-reconfigure man-db asks about this file).
    rmSync('/var/lib/man-db/auto-update', { force: true });
  });

  it('is installed without a network, and starts nothing', async () => {
    const started = performance.now();
    await runOk('dpkg', ['--install', packages.first]);
    console.log(`      installed in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    expect((await systemctl('is-active', 'iserd')).stdout).to.equal('inactive\n');
    expect((await systemctl('is-enabled', 'iserd')).stdout).to.equal('disabled\n');
    expect(existsSync('/sys/module/nbd'), 'the nbd module').to.equal(false);
  });

  it('has a service that systemd has nothing to say about', async () => {
    const { code, stdout, stderr } = await run('systemd-analyze', ['verify', 'iserd.service']);
    expect(stdout + stderr).to.equal('');
    expect(code).to.equal(0);
  });
});

describe('the service', () => {
  let device = '';
  /** Of a target without passwords. */
  let openUrl = '';

  before(async () => {
    const targets = new Shell('test/vm/guest/targets.sh');
    const url = await targets.variable('tgt_iser_chap_url');
    openUrl = await targets.variable('tgt_iser_url');
    const [user, secret, initiator] = await Promise.all(
      ['chap_user', 'chap_secret', 'initiator_name'].map((name) => targets.variable(name)),
    );
    await targets.close();
    writeFileSync('/etc/iserd/data.secret', `${secret}\n`, { mode: 0o600 });
    mkdirSync('/etc/systemd/system/iserd.service.d');
    writeFileSync(
      '/etc/systemd/system/iserd.service.d/secret.conf',
      // Emulated, a start takes as long as a real machine's watchdog waits.
      '[Service]\nLoadCredential=data:/etc/iserd/data.secret\nWatchdogSec=120\n',
    );
    writeFileSync(
      '/etc/iserd/iserd.toml',
      `[initiator]
name = "${initiator}"
[[volume]]
name = "data"
url = "${url}"
device = "auto"
socket = "/run/iserd/data.sock"
socket_group = "disk"
chap_user = "${user}"
chap_secret_file = "credential:data"
`,
    );
    await systemctlOk('daemon-reload');
  });

  it('starts, with a credential of the service manager, and udev knows its device by name', async () => {
    await systemctlOk('enable', '--now', 'iserd');
    device = await deviceOf('data');
    expect(queueAttribute(device, 'scheduler')).to.contain('[none]');
    expect(queueAttribute(device, 'max_sectors_kb')).to.equal('1024');
    // The daemon's own, which it may set from within its sandbox.
    expect(queueAttribute(device, 'io_timeout')).to.equal('3000');
    expect(await property('StatusText')).to.match(/1 of 1 volumes/);
    expect((await runOk('stat', ['-c', '%a %G', '/run/iserd/data.sock'])).trim()).to.equal(
      '660 disk',
    );
    expect(await journal()).not.to.match(/ (warn|error): |Warning: /);
    console.log(
      `      ${(await runOk('systemd-analyze', ['security', 'iserd'])).trim().split('\n').at(-1) ?? ''}`,
    );
  });

  it('answers iserctl', async () => {
    expect(await runOk('iserctl', ['status'])).to.match(/data +serving/);
  });

  describe('under a busy file system', () => {
    let busy: BusyFileSystem;

    before(async () => {
      busy = await BusyFileSystem.start('/dev/disk/by-iserd/data', mountPoint);
    });
    after(() => busy.abandon());

    it('is restarted, and the kernel notices nothing', async () => {
      const before = await socketChanges(device);
      const pid = await property('MainPID');
      await systemctlOk('restart', 'iserd');
      await busy.progress(progressTimeoutMs);
      expect(await property('MainPID')).not.to.equal(pid);
      expect(await socketChanges(device)).to.equal(before);
    });

    it('comes back by itself after kill -9', async () => {
      const restarts = Number(await property('NRestarts'));
      await systemctlOk('kill', '--signal=KILL', 'iserd');
      await waitUntil(
        'it is started again',
        async () => Number(await property('NRestarts')) > restarts,
      );
      await serving();
      await busy.progress(progressTimeoutMs);
      expect(await deviceOf('data')).to.equal(device);
    });

    it('is reloaded: a volume comes, becomes another one and goes', async () => {
      const before = await socketChanges(device);
      const pid = await property('MainPID');
      const file = '/etc/iserd/conf.d/more.toml';
      for (const [lun, mebibytes] of [
        [2, 64],
        [3, 96],
      ]) {
        const url = openUrl.replace(/\d+$/, String(lun));
        writeFileSync(file, `[[volume]]\nname = "more"\nurl = "${url}"\ndevice = "auto"\n`);
        await systemctlOk('reload', 'iserd');
        await waitUntil(
          `the device has ${mebibytes} MiB`,
          async () => sizeOf(await deviceOf('more')) === mebibytes * 2 ** 20,
        );
        await busy.progress(progressTimeoutMs);
      }
      rmSync(file);
      await systemctlOk('reload', 'iserd');
      await waitUntil('its link is gone', () => !existsSync('/dev/disk/by-iserd/more'));
      await busy.progress(progressTimeoutMs);
      expect(await property('MainPID')).to.equal(pid);
      expect(await socketChanges(device)).to.equal(before);
    });

    it('refuses a configuration with a mistake in it, and serves on', async () => {
      const file = '/etc/iserd/conf.d/wrong.toml';
      writeFileSync(file, '[[volume]]\nname = "wrong"\nurl = "nowhere"\n');
      const { code } = await systemctl('reload', 'iserd');
      rmSync(file);
      expect(code).not.to.equal(0);
      expect(await journal()).to.match(/wrong\.toml:3: .*url/);
      await busy.progress(progressTimeoutMs);
    });

    it('is upgraded in its process, and the kernel notices nothing', async () => {
      const before = await socketChanges(device);
      const pid = await property('MainPID');
      const started = performance.now();
      const argv = ['--install', packages.upgrade];
      const { code, stderr: complaint } = await run('dpkg', argv, { timeoutMs: 500_000 });
      expect(complaint).not.to.contain('still the old one');
      expect(code, complaint).to.equal(0);
      console.log(`      upgraded in ${((performance.now() - started) / 1000).toFixed(1)} s`);
      await busy.progress(progressTimeoutMs);
      expect(await property('MainPID')).to.equal(pid);
      expect(await iserctlOfPackage('--version')).to.equal(packages.upgradeVersion);
      const status = JSON.parse(await iserctlOfPackage('status', '--json')) as {
        uptimeSeconds: number;
      };
      const age = Number((await runOk('ps', ['-o', 'etimes=', '-p', pid])).trim());
      expect(status.uptimeSeconds, 'the program is younger than its process').to.be.below(age);
      expect(await socketChanges(device)).to.equal(before);
    });

    it('cannot be removed', async () => {
      const { code, stderr } = await run('dpkg', ['--remove', 'iserd']);
      expect(code).not.to.equal(0);
      expect(stderr).to.contain(`${device} is mounted on ${mountPoint}`);
      expect(await property('ActiveState')).to.equal('active');
      await busy.progress(progressTimeoutMs);
    });

    it('has lost nothing', async () => {
      const { written, longestWrite } = await busy.finish();
      console.log(
        `      ${written} files written, the longest took ${Math.round(longestWrite)} ms`,
      );
      expect(await waitingProcesses()).to.deep.equal([]);
    });
  });

  describe('with a device that another user has open', () => {
    let user: ChildProcess;

    before(async () => {
      const program = `exec 3<${device}; echo open; exec setpriv --reuid=65534 --clear-groups sleep 900`;
      user = spawn('bash', ['-c', program], { stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((resolve) => user.stdout?.once('data', resolve));
    });
    after(() => {
      user.kill();
    });

    it('keeps it when it is stopped, and goes on with it when it is started', async () => {
      await systemctlOk('stop', 'iserd');
      expect(await journal()).to.match(
        new RegExp(`${device} is in use \\(open in process ${user.pid} `),
      );
      expect(isAttached(device)).to.equal(true);
      await systemctlOk('start', 'iserd');
      expect(await deviceOf('data')).to.equal(device);
    });
  });

  // Mocha runs the tests of a suite before the suites in it.
  describe('in the end', () => {
    it('is not stopped by its watchdog', async () => {
      expect(await journal()).not.to.match(/watchdog/i);
    });

    it('leaves nothing failed', async () => {
      expect(await failedUnits()).to.equal('');
    });

    it('has its volume in fstab, mounted, with files, when the machine is shut down', async () => {
      const line = `/dev/disk/by-iserd/data ${mountPoint} ext4 _netdev,x-systemd.requires=iserd.service 0 2\n`;
      writeFileSync('/etc/fstab', readFileSync('/etc/fstab', 'utf8') + line);
      await systemctlOk('daemon-reload');
      await runOk('mount', [mountPoint]);
      writeFiles();
    });
  });
});
