import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  parseDaemonArguments,
  UsageError,
  usageFailure,
} from '../../../daemon/cli/daemon-arguments.ts';
import { serveConfig, type ServeConfig } from '../../../daemon/cli/serve-config.ts';
import { ConfigurationError } from '../../../src/errors.ts';

const url = 'iscsi://10.0.0.5/iqn.2026-11.test:disk/3';

async function serve(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<ServeConfig> {
  const command = await parseDaemonArguments(['serve', ...argv]);
  if (command?.kind !== 'serve') throw new Error('not a serve command');
  return serveConfig(command, environment);
}

async function refusal(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigurationError);
    return error as Error;
  }
  throw new Error('it was accepted');
}

describe('iserd serve', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-serve-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  function secretFile(secret: string): string {
    const path = join(directory, secret);
    writeFileSync(path, `${secret}\n`, { mode: 0o600 });
    return path;
  }

  describe('a kernel device', () => {
    const isid = async (...options: string[]) =>
      (await serve([url, ...options])).spec.sessions[0].isid;

    it('gives the sessions the ISIDs that the next iserd will have, and the volume an owner', async () => {
      expect(await isid('--device', 'auto')).to.deep.equal(await isid('--device', '/dev/nbd5'));
      const { spec } = await serve([
        url,
        '--device',
        'auto',
        '--initiator-name',
        'iqn.2026-11.t:us',
      ]);
      expect(spec.owner).to.equal('iqn.2026-11.t:us at iqn.2026-11.test:disk LUN 3');
    });

    it('is what makes the difference: clients of a socket may come to many daemons', async () => {
      expect(await isid('--socket', '/run/s')).not.to.deep.equal(await isid('--socket', '/run/s'));
      expect((await serve([url, '--socket', '/run/s'])).spec.owner).to.equal(undefined);
    });

    it('waits for the next iserd as long as it is told to', async () => {
      const { spec } = await serve([
        url,
        '--device',
        'auto',
        '--dead-conn-timeout',
        '7',
        '--force',
      ]);
      expect(spec).to.include({ deadConnTimeoutSeconds: 7, forceDetach: true });
      const usual = (await serve([url, '--device', 'auto'])).spec;
      expect(usual).to.include({ deadConnTimeoutSeconds: 86_400, forceDetach: false });
    });

    it('is refused a wait that the kernel does not have', async () => {
      const error = await refusal(serve([url, '--device', 'auto', '--dead-conn-timeout', '0']));
      expect(error.message).to.contain('--dead-conn-timeout');
    });
  });

  describe('where clients come from', () => {
    it('is the socket that was named', async () => {
      const { spec, front } = await serve([url, '--socket', '/run/d.sock']);
      expect(spec).to.include({ socket: '/run/d.sock', device: undefined });
      expect(front).to.equal('configured');
    });

    it('is a socket in the runtime directory when nothing was named', async () => {
      const { spec } = await serve([url], { XDG_RUNTIME_DIR: '/run/user/7' });
      expect(spec.socket).to.equal(`/run/user/7/iserd-${process.pid}.sock`);
    });

    it('is the kernel alone when only a device was named', async () => {
      const { spec } = await serve([url, '--device', 'auto']);
      expect(spec).to.include({ socket: undefined, device: 'auto' });
    });

    it('is standard input with --stdio', async () => {
      const { spec, front } = await serve([url, '--stdio']);
      expect(front).to.equal('stdio');
      expect(spec.socket).to.equal(undefined);
    });

    it('is what the service manager passes to this very process', async () => {
      const environment = { LISTEN_FDS: '1', LISTEN_PID: String(process.pid) };
      expect((await serve([url], environment)).front).to.equal('activated');
    });

    it('is not what a predecessor has stored with the service manager', async () => {
      const passed = { LISTEN_FDS: '2', LISTEN_PID: String(process.pid) };
      const stored = { ...passed, LISTEN_FDNAMES: 'nbd5-0:nbd5-1' };
      expect((await serve([url, '--device', 'auto'], stored)).front).to.equal('configured');
      const both = { ...passed, LISTEN_FDNAMES: 'nbd5-0:nbd.socket' };
      expect((await serve([url], both)).front).to.equal('activated');
    });

    it('is not what was passed to another process', async () => {
      const environment = { LISTEN_FDS: '1', LISTEN_PID: '1' };
      expect((await serve([url], environment)).front).to.equal('configured');
    });
  });

  describe('who may come in', () => {
    it('is whom the options of the socket let in', async () => {
      const options = ['--socket', '/run/d.sock', '--socket-mode', '0660', '--socket-group', 'kvm'];
      const { spec } = await serve([url, ...options]);
      expect(spec.places).to.deep.equal([{ path: '/run/d.sock', mode: 0o660, group: 'kvm' }]);
    });

    it('is this machine when there is an address to listen on, and no socket then', async () => {
      const { spec } = await serve([url, '--listen', '127.0.0.1:9']);
      expect(spec.places).to.deep.equal([{ address: '127.0.0.1', port: 9 }]);
      expect(spec.socket).to.equal(undefined);
    });

    it('is nobody but the client that came along with --stdio', async () => {
      expect((await serve([url, '--stdio'])).spec.places).to.deep.equal([]);
    });

    it('is named by option when it cannot be', async () => {
      const error = await refusal(serve([url, '--listen', '10.0.0.1:9']));
      expect(error.message).to.match(/^--listen: 10\.0\.0\.1 can be reached by others/);
    });
  });

  describe('CHAP', () => {
    it('takes the secret from a file', async () => {
      const { spec, warnings } = await serve([
        url.replace('//', '//joe@'),
        '--chap-secret-file',
        secretFile('ours'),
      ]);
      expect(spec.sessions[0].chap).to.deep.equal({
        user: 'joe',
        secret: new TextEncoder().encode('ours'),
      });
      expect(warnings).to.deep.equal([]);
    });

    it('takes the secret from the URL with a warning that does not show it', async () => {
      const { spec, config, warnings } = await serve([url.replace('//', '//joe%ours@')]);
      expect(spec.sessions[0].chap?.secret).to.deep.equal(new TextEncoder().encode('ours'));
      expect(warnings).to.have.length(1);
      expect(warnings[0])
        .to.match(/--chap-secret-file/)
        .and.not.to.match(/ours/);
      expect(JSON.stringify(config)).not.to.include('ours');
      expect(spec.target).not.to.include('ours');
    });

    it('prefers the file when there are both', async () => {
      const { spec } = await serve([
        url.replace('//', '//joe%url@'),
        '--chap-secret-file',
        secretFile('file'),
      ]);
      expect(spec.sessions[0].chap?.secret).to.deep.equal(new TextEncoder().encode('file'));
    });

    it('takes the account that the target must prove to know', async () => {
      const { spec } = await serve([
        url.replace('//', '//joe%ours@'),
        '--mutual-chap-user',
        'target',
        '--mutual-chap-secret-file',
        secretFile('theirs'),
      ]);
      expect(spec.sessions[0].mutualChap).to.deep.equal({
        user: 'target',
        secret: new TextEncoder().encode('theirs'),
      });
    });

    it('refuses half an account', async () => {
      const error = await refusal(serve([url, '--mutual-chap-secret-file', secretFile('theirs')]));
      expect(error.message).to.match(/belong together/);
    });
  });

  it('takes more portals of the target', async () => {
    const { spec } = await serve([url, '--portal', '10.0.0.6', '--portal', '[fe80::1]:3261']);
    expect(spec.sessions[0].portals).to.deep.equal([
      { host: '10.0.0.5', port: 3260 },
      { host: '10.0.0.6', port: 3260 },
      { host: 'fe80::1', port: 3261 },
    ]);
  });

  it('refuses a portal that is none, by the name of the option', async () => {
    for (const portal of ['10.0.0.6:port', '10.0.0.6:0', 'fe80::1', '10.0.0.6,1', '']) {
      const error = await refusal(serve([url, '--portal', portal]));
      expect(error.message).to.match(/^--portal: must be "host"/);
    }
  });

  it('carries every option into the session', async () => {
    const { spec, config } = await serve([
      url,
      ...[
        '--read-only',
        '--lanes',
        '2',
        '--header-digest',
        'crc32c',
        '--data-digest',
        'prefer-crc32c',
      ],
      ...[
        '--replacement-timeout',
        '-1',
        '--login-timeout',
        '3',
        '--initiator-name',
        'iqn.2026-11.test:us',
      ],
      ...['--registration', 'static', '--pin-limit', '8MiB', '--log-level', 'debug'],
      ...['--spin-us', '7'],
    ]);
    expect(spec.sessions).to.have.length(2);
    expect(spec.sessions[1]).to.include({
      readOnly: true,
      headerDigest: 'crc32c',
      dataDigest: 'prefer-crc32c',
      replacementTimeoutMs: Infinity,
      loginTimeoutMs: 3000,
      initiatorName: 'iqn.2026-11.test:us',
    });
    expect(config.memory).to.include({ registration: 'static', pin_limit: 8 * 2 ** 20 });
    expect(config.lanes.spin_us).to.equal(7);
    expect(config.log.level).to.equal('debug');
  });

  it('names the option whose value is wrong', async () => {
    expect((await refusal(serve([url, '--pin-limit', 'lots']))).message).to.match(/^--pin-limit: /);
    expect((await refusal(serve([url, '--spin-us', '5000']))).message).to.match(/^--spin-us: /);
    expect((await refusal(serve([url, '--replacement-timeout', '-2']))).message).to.match(
      /^--replacement-timeout: /,
    );
    expect((await refusal(serve(['iscsi://h/iqn.2026-11.test:d']))).message).to.match(/^URL: /);
  });
});

describe('the command line of iserd', () => {
  it('names a configuration file', async () => {
    expect(await parseDaemonArguments(['--config', '/etc/x.toml'])).to.deep.equal({
      kind: 'config',
      config: '/etc/x.toml',
    });
  });

  it('that says nothing is bad usage', async () => {
    expect(await refusal(parseDaemonArguments([]))).to.be.instanceOf(UsageError);
  });

  it('that is not understood is bad usage, in one line', async () => {
    const error = await refusal(parseDaemonArguments(['serve', url, '--data-digest', 'md5']));
    expect(error).to.be.instanceOf(UsageError);
    expect(error.message).not.to.include('\n');
  });

  it('does not show a secret that stands where it does not belong', async () => {
    const withSecret = url.replace('//', '//joe%sesame@');
    const error = await refusal(parseDaemonArguments(['serve', withSecret, withSecret]));
    expect(error.message).to.include('//joe@10.0.0.5').and.not.to.include('sesame');
  });

  it('does not turn the failure of a command into bad usage', () => {
    const failure = new Error('the target said no');
    expect(() => usageFailure(null, failure)).to.throw(failure);
  });
});
