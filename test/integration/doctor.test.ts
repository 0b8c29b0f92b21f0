/** `iserctl doctor` on this machine, with a real target and a real daemon. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DaemonFixture, mebibyte, runIserctl } from '../helpers/daemon-fixture.ts';
import type { Finished } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { freePort } from '../helpers/free-port.ts';

interface Section {
  readonly area: string;
  readonly findings: readonly { level: string; message: string; cure?: string }[];
}

const chap = { user: 'iserd', secret: 'a-secret-of-16-b' };

describe('iserctl doctor', function () {
  this.timeout(60_000);
  const suite = DaemonFixture.perSuite();
  const test = DaemonFixture.perTest();
  let tgt: Tgt;
  let portal: string;

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes: 16 * mebibyte }], chap });
    portal = `iscsi://${tgt.address}:${tgt.port}`;
  });

  /** The secret's file has `mode`. */
  const configured = (mode: number, extra = '', url = tgt.urls[0]): string => {
    const secret = test.file(`${chap.secret}\n`, mode);
    const directory = test.directory();
    return test.file(`
      [control]
      socket = "${join(directory, 'control')}"
      [[volume]]
      name = "data"
      url = "${url}"
      socket = "${join(directory, 'data')}"
      chap_user = "${chap.user}"
      chap_secret_file = "${secret}"
      ${extra}
    `);
  };

  const doctor = (...argv: readonly string[]): Promise<Finished> => runIserctl('doctor', ...argv);

  it('says that nothing is wrong, and what it has tried', async () => {
    const { code, stdout, stderr } = await doctor('--config', configured(0o600));
    expect(code, stdout).to.equal(0);
    expect(stderr).to.equal('');
    expect(stdout).to.match(/^ {2}ok +\/\S+ can be used: 1 volume$/m);
    expect(stdout).to.match(
      new RegExp(`ok +${portal} can be reached \\(TCP, from 127\\.0\\.0\\.1\\)`),
    );
    expect(stdout).to.match(
      new RegExp(`ok +${portal}: login to ${tgt.targetName} LUN 1 works: .*16 MiB`),
    );
    expect(stdout).to.match(/note +no daemon answers/);
    expect(stdout).to.match(/\nnothing is wrong, \d+ notes?\n$/);
  });

  it('looks at the daemon that runs, and at its limits', async () => {
    const config = configured(0o600);
    const daemon = await test.iserd('--config', config);
    const { code, stdout } = await doctor('--config', config, '--json');
    const sections = JSON.parse(stdout) as Section[];
    const messages = (area: string): string[] =>
      sections.find((section) => section.area === area)?.findings.map(({ message }) => message) ??
      [];
    expect(messages('daemon')).to.deep.equal([
      `a daemon answers (process ${daemon.child.pid}, 1 volumes)`,
      'volume data is serving',
    ]);
    expect(messages('limits')[0]).to.match(/^the running iserd may /);
    expect(code).to.equal(0);
  });

  it('asks a portal for its targets', async () => {
    const { code, stdout } = await doctor(portal);
    expect(code, stdout).to.equal(0);
    expect(stdout).to.contain(`discovery works: ${tgt.targetName}`);
  });

  it('says in the section on RDMA what this machine has', async function () {
    const { stdout } = await doctor();
    if (existsSync('/sys/class/infiniband')) expect(stdout).to.match(/RDMA\n.*port 1/);
    else expect(stdout).to.match(/RDMA\n {2}note +there is no RDMA device/);
  });

  const problems: readonly (readonly [string, () => Promise<string[]>, RegExp])[] = [
    [
      'a portal where nobody listens',
      async () => [`iscsi://127.0.0.1:${await freePort()}`],
      /wrong +iscsi:\S+ cannot be reached: .*ECONNREFUSED.*\n +→ check that the target listens/,
    ],
    [
      'a host without a name',
      () => Promise.resolve(['iscsi://nobody.invalid']),
      /wrong +iscsi:\S+: the name nobody\.invalid cannot be resolved/,
    ],
    [
      'a target that is not there',
      () => Promise.resolve([`${portal}/iqn.2026-11.test:nobody/1`]),
      /wrong .*login to iqn\.2026-11\.test:nobody LUN 1 fails: .*target not found.*\n +→ .*iserctl discover/,
    ],
    [
      'a missing secret',
      () => Promise.resolve([tgt.urls[0]]),
      /wrong .*LUN 1 fails: .*auth.*\n +→ compare chap_user and the secret/i,
    ],
    [
      'a LUN that is not there',
      () => Promise.resolve(['--config', configured(0o600, '', `${portal}/${tgt.targetName}/7`)]),
      /wrong .*LUN 7 fails: .*no logical unit.*\n +→ compare the LUN/,
    ],
    [
      'a secret that others can read',
      () => Promise.resolve(['--config', configured(0o644)]),
      /wrong +volume data: .* mode 0644 lets others read the secret/,
    ],
    [
      'a key that it does not know',
      () => Promise.resolve(['--config', configured(0o600, 'speed = "fast"')]),
      /wrong +\/\S+:\d+: volume\.#1\.speed: unknown key\n +→ correct this line/,
    ],
    [
      'a configuration that is not there',
      () => Promise.resolve(['--config', '/no/such/iserd.toml']),
      /wrong +\/no\/such\/iserd\.toml: .*ENOENT/,
    ],
    [
      'iSER on a machine without RDMA',
      () => Promise.resolve([`iser://${tgt.address}:${tgt.port}`]),
      /wrong +(there is no RDMA device|iser:\S+ cannot be reached).*\n +→ /,
    ],
  ];
  for (const [what, argv, expected] of problems) {
    it(`says what is wrong and what to do, with exit code 1: ${what}`, async () => {
      const { code, stdout, stderr } = await doctor(...(await argv()));
      expect(stdout).to.match(expected);
      expect(stdout).to.match(/\n\d+ problems?(, \d+ notes?)?\n$/);
      expect(code, stderr).to.equal(1);
    });
  }

  it('refuses a URL that is none, with exit code 2', async () => {
    const { code, stderr } = await doctor('http://10.0.0.5');
    expect(code).to.equal(2);
    expect(stderr).to.match(/^iserctl: target URL, scheme/);
  });
});
