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

    it('is not what was passed to another process', async () => {
      const environment = { LISTEN_FDS: '1', LISTEN_PID: '1' };
      expect((await serve([url], environment)).front).to.equal('configured');
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
    expect(config.log.level).to.equal('debug');
  });

  it('names the option whose value is wrong', async () => {
    expect((await refusal(serve([url, '--pin-limit', 'lots']))).message).to.match(/^--pin-limit: /);
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

  it('does not turn the failure of a command into bad usage', () => {
    const failure = new Error('the target said no');
    expect(() => usageFailure(null, failure)).to.throw(failure);
  });
});
