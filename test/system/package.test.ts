/** The package as a file: what is in it, and what Debian's own tools say about it. */
import { expect } from 'chai';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, runOk } from '../helpers/programs.ts';
import { packages } from './packages.ts';

describe('the package as a file', () => {
  let directory = '';

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-package-'));
    await runOk('dpkg-deb', ['--extract', packages.first, directory]);
    console.log(`      ${Math.round(statSync(packages.first).size / 1024)} KiB`);
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it('is what lintian accepts', async () => {
    const { code, stdout } = await run('lintian', ['--fail-on', 'error,warning', packages.first]);
    expect(stdout).not.to.match(/^[EW]:/m);
    expect(code, stdout).to.equal(0);
  });

  it('depends on Node.js and on the libraries of the addon, by version', async () => {
    const depends = await runOk('dpkg-deb', ['--field', packages.first, 'Depends']);
    for (const name of ['nodejs', 'libibverbs1', 'librdmacm1', 'libnl-genl-3-200', 'libsystemd0'])
      expect(depends).to.match(new RegExp(`\\b${name} \\(>= [\\d.]+\\)`));
  });

  it('asks before it replaces what an administrator has changed', async () => {
    const conffiles = await runOk('dpkg-deb', ['--info', packages.first, 'conffiles']);
    expect(conffiles.trim().split('\n')).to.deep.equal([
      '/etc/iserd/iserd.toml',
      '/etc/modprobe.d/iserd.conf',
    ]);
  });

  it('needs nothing else to run: its programs start from where they are unpacked', async () => {
    for (const program of ['iserd', 'iserctl']) {
      const path = join(directory, 'usr/bin', program);
      expect((await runOk(path, ['--version'], { cwd: '/' })).trim()).to.equal(packages.version);
    }
    // It gets as far as the addon: the reactor is there, the portal is not.
    const inspect = ['inspect', 'iscsi://127.0.0.1:1/iqn.2026-11.test:none/0'];
    const { code, stderr } = await run(join(directory, 'usr/bin/iserctl'), inspect, { cwd: '/' });
    expect(code).to.equal(1);
    expect(stderr).to.match(/127\.0\.0\.1:1: connect-refused/);
  });

  it('has a service of which systemd finds the exposure tolerable', async () => {
    const unit = join(directory, 'lib/systemd/system/iserd.service');
    const argv = ['security', '--offline=true', '--threshold=40', '--no-pager', unit];
    const { code, stdout } = await run('systemd-analyze', argv);
    console.log(`      ${stdout.trim().split('\n').at(-1) ?? ''}`);
    expect(code, stdout).to.equal(0);
  });

  it('has a sample of a configuration that is one when it is uncommented', async () => {
    const sample = join(directory, 'etc/iserd/iserd.toml');
    await runOk('sed', ['-i', '-E', 's/^#([[a-z])/\\1/', sample]);
    const { stderr } = await run(join(directory, 'usr/bin/iserd'), ['--config', sample]);
    // Everything about it is right but for the secret, which is not there.
    expect(stderr.trim().split('\n')).to.have.length(1);
    expect(stderr).to.match(/chap_secret_file: \/etc\/iserd\/data\.secret: ENOENT/);
  });
});
