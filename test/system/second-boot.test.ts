/** The machine of first-boot.test.ts after a shutdown with a mounted volume: everything is there again, until the package goes. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { expectFiles, mountPoint } from './kept-files.ts';
import {
  deviceOf,
  failedUnits,
  journal,
  property,
  systemctl,
  systemctlOk,
  systemctlTimeoutMs,
} from './service.ts';
import { isAttached } from '../vm/guest/block-device.ts';
import { run, runOk } from '../helpers/programs.ts';
import { waitUntil } from '../helpers/wait.ts';

describe('the next boot', () => {
  before(async function () {
    this.timeout(systemctlTimeoutMs);
    await systemctl('is-system-running', '--wait');
  });

  it('has no failed unit', async () => {
    expect(await failedUnits()).to.equal('');
  });

  it('has mounted the volume by fstab, and every file is there', async () => {
    const device = await deviceOf('data');
    expect((await runOk('findmnt', ['-no', 'SOURCE', mountPoint])).trim()).to.equal(device);
    expectFiles();
  });

  it('found the file system clean: it was unmounted before the daemon stopped', async () => {
    const fsck = await runOk('journalctl', [
      '--no-pager',
      '-b',
      '0',
      '-o',
      'cat',
      '-u',
      'systemd-fsck@*',
    ]);
    expect(fsck).to.contain('clean');
    expect(fsck).not.to.match(/recover/);
    const before = await runOk('journalctl', [
      '--no-pager',
      '-b',
      '-1',
      '-o',
      'cat',
      '-t',
      'systemd',
    ]);
    const unmounted = before.lastIndexOf(
      `Unmounted ${mountPoint.slice(1).replace('/', '-')}.mount`,
    );
    const stopping = before.lastIndexOf('Stopping iserd.service');
    expect(unmounted, before).to.be.at.least(0);
    expect(stopping, before).to.be.above(unmounted);
  });

  it('shut the daemon down in time, without an error', async () => {
    const before = await journal(-1);
    expect(before).to.match(/iserd.service: Deactivated successfully/);
    expect(before.slice(before.lastIndexOf('Stopping iserd.service'))).not.to.match(
      / error: |timed out|in use/,
    );
    const kernel = await runOk('journalctl', ['--no-pager', '-b', '-1', '-k', '-o', 'cat']);
    expect(kernel).not.to.match(/I\/O error|nbd\d+: .*timed out|hung_task|EXT4-fs error/);
  });
});

describe('the package', () => {
  let device = '';

  before(async () => {
    device = await deviceOf('data');
  });

  it('is not removed while a volume is mounted', async () => {
    const { code, stderr } = await run('dpkg', ['--remove', 'iserd']);
    expect(code).not.to.equal(0);
    expect(stderr).to.contain(`${device} is mounted on ${mountPoint}`);
    expect(await property('ActiveState')).to.equal('active');
  });

  it('has a service that lets go of the device when nobody uses it', async () => {
    await runOk('umount', [mountPoint]);
    await systemctlOk('stop', 'iserd');
    expect(isAttached(device)).to.equal(false);
    await waitUntil('its link is gone', () => !existsSync('/dev/disk/by-iserd/data'));
    await systemctlOk('start', 'iserd');
    device = await deviceOf('data');
  });

  it('is removed when no device is in use, and leaves the configuration', async () => {
    await runOk('dpkg', ['--remove', 'iserd']);
    expect(isAttached(device)).to.equal(false);
    expect((await systemctl('is-active', 'iserd')).stdout).to.equal('inactive\n');
    expect(existsSync('/etc/iserd/iserd.toml')).to.equal(true);
    expect(existsSync('/run/iserd')).to.equal(false);
  });

  it('is purged with its configuration', async () => {
    await runOk('dpkg', ['--purge', 'iserd']);
    expect(existsSync('/etc/iserd')).to.equal(false);
    expect(existsSync('/etc/modprobe.d/iserd.conf')).to.equal(false);
    expect(existsSync('/etc/systemd/system/multi-user.target.wants/iserd.service')).to.equal(false);
    expect((await run('dpkg-query', ['-W', 'iserd'])).code).not.to.equal(0);
  });
});
