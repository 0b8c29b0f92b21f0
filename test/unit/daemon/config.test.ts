import { expect } from 'chai';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '../../../daemon/config/load.ts';
import { readSecretFile } from '../../../daemon/config/secret-file.ts';
import { formatSize, parseSize } from '../../../daemon/config/size.ts';
import { ConfigurationError } from '../../../src/errors.ts';

const minimal = `
[[volume]]
name = "data"
url = "iser://10.0.0.5/iqn.2026-11.org.example:disk/3"
device = "auto"
`;

function problems(text: string): string {
  try {
    parseConfig(text, 'iserd.toml');
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigurationError);
    return (error as Error).message;
  }
  throw new Error('the configuration was accepted');
}

describe('configuration file', () => {
  it('fills in the defaults of a minimal volume', () => {
    const config = parseConfig(minimal, 'iserd.toml');
    expect(config.memory.registration).to.equal('cache');
    expect(config.volume[0]).to.deep.include({
      lanes: 1,
      read_only: false,
      replacement_timeout: 120_000,
    });
    expect(config.volume[0].url).to.deep.include({
      transport: 'iser',
      host: '10.0.0.5',
      port: 3260,
      lun: 3,
    });
  });

  it('turns a replacement timeout of -1 into waiting for ever', () => {
    const config = parseConfig(`${minimal}replacement_timeout = -1\n`, 'iserd.toml');
    expect(config.volume[0].replacement_timeout).to.equal(Infinity);
  });

  it('refuses an unknown key with its line and name', () => {
    expect(problems(`${minimal}read_onyl = true\n`)).to.equal(
      'iserd.toml:6: volume.#1.read_onyl: unknown key',
    );
  });

  it('refuses an unknown table', () => {
    expect(problems('[memroy]\nhuge_pages = true\n')).to.match(
      /^iserd\.toml:1: memroy: unknown key/,
    );
  });

  it('names the line of a bad value in the second volume', () => {
    const second =
      '[[volume]]\nname = "b"\nurl = "iscsi://h/iqn.2026-11.org.example:d/0"\nlanes = 99\ndevice = "auto"\n';
    expect(problems(minimal + second)).to.match(/^iserd\.toml:9: volume\.#2\.lanes: .*16/);
  });

  it('names the line of a syntax error', () => {
    expect(problems('[initiator\nname = 1')).to.match(/^iserd\.toml:1: /);
  });

  it('says what is wrong with a URL', () => {
    expect(problems(minimal.replace('iser://10.0.0.5', 'nvme://10.0.0.5'))).to.match(
      /volume\.#1\.url: .*iser/,
    );
  });

  it('limits what clients may cost, in seconds and bytes', () => {
    const { limits } = parseConfig(
      '[limits]\nclients = 3\nstall_timeout = 0\nmemory = "8MiB"',
      'f',
    );
    expect(limits).to.deep.equal({
      clients: 3,
      handshake_timeout: 10_000,
      stall_timeout: 0,
      requests: 128,
      memory: 8 * 2 ** 20,
    });
    expect(() => parseConfig('[limits]\nclients = 0', 'f')).to.throw(/f:2: limits\.clients/);
    expect(() => parseConfig('[limits]\nrequests = 5000', 'f')).to.throw(/limits\.requests/);
  });

  it('refuses a secret in the URL of a file', () => {
    expect(
      problems(minimal.replace('10.0.0.5', 'joe%25secret@10.0.0.5').replace('%25', '%')),
    ).to.include('chap_secret_file');
  });

  it('refuses a user without a secret file', () => {
    expect(problems(`${minimal}chap_user = "joe"\n`)).to.include(
      'chap_user and chap_secret_file belong together',
    );
  });

  it('refuses two volumes of one name', () => {
    expect(problems(minimal + minimal)).to.include('"data" is used twice');
  });

  it('refuses a volume that nobody could use', () => {
    expect(problems(minimal.replace('device = "auto"', ''))).to.include(
      'needs a device, a socket or an address to listen on',
    );
  });

  it('refuses an initiator name that is not an iSCSI name', () => {
    expect(problems(`[initiator]\nname = "joe"\n${minimal}`)).to.match(
      /^iserd\.toml:2: initiator\.name: /,
    );
  });
});

describe('sizes', () => {
  it('reads binary units', () => {
    expect(parseSize('64MiB')).to.equal(67108864);
    expect(parseSize('1G')).to.equal(2 ** 30);
    expect(parseSize('4096')).to.equal(4096);
  });

  it('refuses what is not a size', () => {
    expect(() => parseSize('lots')).to.throw(ConfigurationError, '"lots"');
    expect(() => parseSize('9999999T')).to.throw(ConfigurationError, 'too large');
  });

  it('writes the largest fitting unit', () => {
    expect(formatSize(268435456)).to.equal('256 MiB');
    expect(formatSize(1536)).to.equal('1.5 KiB');
    expect(formatSize(12)).to.equal('12 B');
  });
});

describe('secret file', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-secret-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  function secretFile(content: string, mode: number): string {
    const path = join(directory, 'secret');
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  }

  it('is read without its final newline', () => {
    expect(Buffer.from(readSecretFile(secretFile('twelve bytes\n', 0o600))).toString()).to.equal(
      'twelve bytes',
    );
  });

  it('is refused when others may read it', () => {
    const path = secretFile('x', 0o640);
    expect(() => readSecretFile(path)).to.throw(ConfigurationError, 'mode 0640');
  });

  it('is refused when it is empty', () => {
    const path = secretFile('\n', 0o600);
    expect(() => readSecretFile(path)).to.throw(ConfigurationError, 'no secret');
  });

  it('is a credential of the service manager by its name', () => {
    secretFile('from systemd\n', 0o400);
    const environment = { CREDENTIALS_DIRECTORY: directory };
    const bytes = readSecretFile('credential:secret', environment);
    expect(Buffer.from(bytes).toString()).to.equal('from systemd');
    for (const name of ['', '..', '../secret', '/etc/passwd'])
      expect(() => readSecretFile(`credential:${name}`, environment)).to.throw(
        ConfigurationError,
        'no credential',
      );
  });

  it('says how to pass a credential when there are none', () => {
    expect(() => readSecretFile('credential:secret', {})).to.throw(
      ConfigurationError,
      'LoadCredential=secret:',
    );
  });

  it('is refused when it is not there', () => {
    expect(() => readSecretFile(join(directory, 'none'))).to.throw(ConfigurationError, 'ENOENT');
  });
});
