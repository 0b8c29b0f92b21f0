/** What goes wrong when the daemon or its operator's tool is started, and how it is said: exit codes and one clear line. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { DaemonFixture, mebibyte, runIserctl, runIserd } from '../helpers/daemon-fixture.ts';
import type { Finished } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';

/** The lines of the log at level "error". */
function errorLines({ stderr }: Finished): string[] {
  return stderr.split('\n').filter((line) => / error: /.test(line));
}

function expectOneError(end: Finished, message: RegExp): void {
  expect(end.code, end.stderr).to.equal(1);
  expect(errorLines(end), end.stderr).to.have.length(1);
  expect(errorLines(end)[0]).to.match(message);
}

/** A command line that cannot be used: exit code 2 and nothing but one line that names the program. */
function expectUsage(end: Finished, program: string, message: RegExp): void {
  expect(end.code, end.stderr).to.equal(2);
  expect(end.stderr).to.match(new RegExp(`^${program}: [^\n]*\n$`));
  expect(end.stderr).to.match(message);
}

describe('a start that fails', function () {
  this.timeout(90_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  let portal: string;
  let socket: string;

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes: 8 * mebibyte }] });
    portal = `iscsi://${tgt.address}:${tgt.port}`;
  });
  beforeEach(() => {
    socket = `${fixture.directory()}/nbd`;
  });

  const serve = (url: string, ...options: string[]): Promise<Finished> =>
    runIserd('serve', url, '--socket', socket, ...options);

  it('names the target that the portal does not have', async () => {
    const end = await serve(`${portal}/iqn.2026-11.test:nobody/1`);
    expectOneError(end, /target not found/);
    expect(existsSync(socket)).to.equal(false);
  });

  it('says that there is nothing at the LUN', async () => {
    expectOneError(await serve(`${portal}/${tgt.targetName}/7`), /no logical unit at this LUN/);
  });

  it('says that the controller of the target is no disk', async () => {
    expectOneError(await serve(`${portal}/${tgt.targetName}/0`), /controller, no disk/);
  });

  it('says where nobody listens', async () => {
    const end = await serve(`iscsi://127.0.0.1:1/${tgt.targetName}/1`, '--login-timeout', '1');
    expectOneError(end, /no login in time: 127\.0\.0\.1:1: connect-refused/);
  });

  it('says that a host has no address', async () => {
    const end = await serve(
      `iscsi://no-such-host.invalid/${tgt.targetName}/1`,
      '--login-timeout',
      '1',
    );
    expectOneError(end, /no-such-host\.invalid/);
  });

  it('refuses a kernel device cleanly where the kernel has no NBD client', async function () {
    if (existsSync('/sys/module/nbd')) this.skip();
    expectOneError(await runIserd('serve', tgt.urls[0], '--device', 'auto'), /modprobe nbd/);
  });

  it('says which volume could not listen when the directory of its socket is missing', async () => {
    const end = await runIserd('serve', tgt.urls[0], '--socket', `${socket}/in/nothing`);
    expectOneError(end, /volume serve: .*ENO/);
  });

  it('warns of a secret on the command line without showing it', async () => {
    const url = `iscsi://joe%very-secret-word@127.0.0.1:1/${tgt.targetName}/1`;
    const end = await serve(url, '--login-timeout', '1');
    expect(end.stderr).to.match(/ warn: the CHAP secret on the command line .*--chap-secret-file/);
    expect(end.stderr + end.stdout).not.to.include('very-secret-word');
  });

  const badUsage: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['neither a URL nor a file', [], /serve URL.*--config FILE/],
    ['an unknown option', ['serve', 'iscsi://h/iqn.2026-11.a:b/0', '--frobnicate'], /frobnicate/],
    ['serve without a URL', ['serve'], /non-option arguments/],
    ['a URL of another scheme', ['serve', 'nvme://h/iqn.2026-11.a:b/0'], /iser or iscsi/],
    ['a URL without a LUN', ['serve', 'iscsi://h/iqn.2026-11.a:b'], /must name a target and a LUN/],
    ['no lanes', ['serve', 'iscsi://h/iqn.2026-11.a:b/0', '--lanes', '0'], /--lanes: /],
    [
      'a digest that is none',
      ['serve', 'iscsi://h/iqn.2026-11.a:b/0', '--data-digest', 'md5'],
      /data-digest/,
    ],
    [
      'an initiator name that is none',
      ['serve', 'iscsi://h/iqn.2026-11.a:b/0', '--initiator-name', 'joe'],
      /--initiator-name: /,
    ],
    [
      'a device that is none',
      ['serve', 'iscsi://h/iqn.2026-11.a:b/0', '--device', '/dev/sda'],
      /--device: /,
    ],
    ['a user without a secret', ['serve', 'iscsi://joe@h/iqn.2026-11.a:b/0'], /--chap-secret-file/],
    [
      'a secret file without a user',
      ['serve', 'iscsi://h/iqn.2026-11.a:b/0', '--chap-secret-file', '/x'],
      /needs a user/,
    ],
    [
      'a mutual user without a secret',
      ['serve', 'iscsi://h/iqn.2026-11.a:b/0', '--mutual-chap-user', 'x'],
      /belong together/,
    ],
    [
      'a secret file that is missing',
      ['serve', 'iscsi://joe@h/iqn.2026-11.a:b/0', '--chap-secret-file', '/no/such'],
      /\/no\/such: ENOENT/,
    ],
    [
      'a configuration file that is missing',
      ['--config', '/no/such.toml'],
      /\/no\/such\.toml: ENOENT/,
    ],
  ];
  for (const [what, argv, message] of badUsage) {
    it(`iserd refuses ${what} with exit code 2`, async () => {
      expectUsage(await runIserd(...argv), 'iserd', message);
    });
  }

  const badToolUsage: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no command', [], /which command/],
    ['an unknown command', ['frobnicate'], /frobnicate/],
    ['an unknown option', ['status', '--frobnicate'], /frobnicate/],
    [
      'discovery of one target',
      ['discover', 'iscsi://h/iqn.2026-11.a:b'],
      /must end after host and port/,
    ],
    ['inspection of a portal', ['inspect', 'iscsi://h'], /must name a target and a LUN/],
  ];
  for (const [what, argv, message] of badToolUsage) {
    it(`iserctl refuses ${what} with exit code 2`, async () => {
      expectUsage(await runIserctl(...argv), 'iserctl', message);
    });
  }

  const helpful: readonly (readonly [typeof runIserd, readonly string[]])[] = [
    [runIserd, ['--help']],
    [runIserd, ['serve', '--help']],
    [runIserctl, ['--help']],
    [runIserctl, ['discover', '--help']],
    [runIserctl, ['inspect', '--help']],
    [runIserctl, ['status', '--help']],
  ];
  for (const [program, argv] of helpful) {
    const name = program === runIserd ? 'iserd' : 'iserctl';
    it(`${name} ${argv.join(' ')} shows an example`, async () => {
      const end = await program(...argv);
      expect(end.code, end.stderr).to.equal(0);
      expect(end.stdout).to.match(new RegExp(`Examples:\n *${name} `));
    });
  }

  it('prints the version', async () => {
    expect((await runIserd('--version')).stdout).to.match(/^\d+\.\d+\.\d+\n$/);
  });
});
