import { expect } from 'chai';
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSafeFile } from '../../../daemon/config/safe-file.ts';
import { readSecretFile } from '../../../daemon/config/secret-file.ts';
import { forget, keepSecret } from '../../../daemon/config/secret.ts';
import { ConfigurationError } from '../../../src/errors.ts';
import { runOk } from '../../helpers/programs.ts';

/** Neither root's nor ours. */
const stranger = 12_345;

describe('a file that must be nobody else’s', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-safe-'));
    path = join(directory, 'secret');
    writeFileSync(path, 'sesame\n', { mode: 0o600 });
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  function refusal(of = path): ConfigurationError {
    try {
      readSafeFile(of);
    } catch (error) {
      expect(error).to.be.instanceOf(ConfigurationError);
      return error as ConfigurationError;
    }
    throw new Error('it was read');
  }

  it('is read', () => {
    expect(Buffer.from(readSafeFile(path)).toString()).to.equal('sesame\n');
  });

  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o666]) {
    it(`is refused with mode 0${mode.toString(8)}`, () => {
      chmodSync(path, mode);
      expect(refusal().code).to.equal('secret-mode');
    });
  }

  it('may be read-only, as a service manager’s credentials are', () => {
    chmodSync(path, 0o400);
    expect(readSafeFile(path)).to.have.length(7);
  });

  it('is refused when it is a directory', () => {
    expect(refusal(directory).code).to.equal('secret-not-a-file');
  });

  it('is refused, not waited for, when it is a FIFO', async () => {
    const fifo = join(directory, 'fifo');
    await runOk('mkfifo', ['-m', '600', fifo]);
    expect(refusal(fifo).code).to.equal('secret-not-a-file');
  });

  it('is refused when it is too long to be one', () => {
    writeFileSync(path, 'x'.repeat(70_000));
    expect(refusal().code).to.equal('secret-too-long');
  });

  it('is refused in a directory that others may write to', () => {
    chmodSync(directory, 0o770);
    const { code, message } = refusal();
    expect(code).to.equal('secret-directory');
    expect(message).to.equal(`${directory}: mode 0770 lets others replace the secret in it`);
  });

  it('is read in a sticky directory, whose entries nobody else can rename', () => {
    chmodSync(directory, 0o1777);
    expect(readSafeFile(path)).to.have.length(7);
  });

  it('is read through a symbolic link in a safe place', () => {
    mkdirSync(join(directory, 'links'));
    const link = join(directory, 'links', 'link');
    symlinkSync('../secret', link);
    expect(readSafeFile(link)).to.have.length(7);
  });

  it('is refused through a symbolic link in a place that others may write to', () => {
    const open = join(directory, 'open');
    mkdirSync(open);
    symlinkSync(path, join(open, 'link'));
    chmodSync(open, 0o777);
    expect(refusal(join(open, 'link')).code).to.equal('secret-directory');
  });

  it('is refused when the target of a symbolic link is in such a place', () => {
    const open = join(directory, 'open');
    mkdirSync(open);
    writeFileSync(join(open, 'target'), 'x', { mode: 0o600 });
    chmodSync(open, 0o777);
    const link = join(directory, 'link');
    symlinkSync('open/target', link);
    expect(refusal(link).code).to.equal('secret-directory');
  });

  it('is refused when its symbolic links go round in a circle', () => {
    const link = join(directory, 'link');
    symlinkSync('link', link);
    expect(refusal(link).message).to.match(/too many symbolic links/);
  });

  describe('among several users', function () {
    before(function () {
      if (process.getuid?.() !== 0) this.skip();
    });

    it('is refused when another user owns it', () => {
      chownSync(path, stranger, 0);
      const { code, message } = refusal();
      expect(code).to.equal('secret-owner');
      expect(message).to.include(`belongs to user ${stranger}`);
    });

    it('is refused in another user’s directory', () => {
      chownSync(directory, stranger, 0);
      expect(refusal().code).to.equal('secret-owner');
    });

    it('is refused through another user’s symbolic link in a sticky directory', () => {
      const sticky = join(directory, 'sticky');
      mkdirSync(sticky);
      chmodSync(sticky, 0o1777);
      symlinkSync(path, join(sticky, 'link'));
      lchownSync(join(sticky, 'link'), stranger, 0);
      expect(refusal(join(sticky, 'link')).code).to.equal('secret-owner');
    });
  });
});

describe('a secret', () => {
  it('is moved into memory that threads share, and its original is overwritten', () => {
    const original = new TextEncoder().encode('sesame');
    const secret = keepSecret(original);
    expect(secret.buffer).to.be.instanceOf(SharedArrayBuffer);
    expect(Buffer.from(secret).toString()).to.equal('sesame');
    expect([...original]).to.deep.equal([0, 0, 0, 0, 0, 0]);
  });

  it('is not copied by a message to another thread', () => {
    const secret = keepSecret(new TextEncoder().encode('sesame'));
    const received = structuredClone({ chap: { user: 'u', secret } });
    forget(secret);
    expect([...received.chap.secret]).to.deep.equal([0, 0, 0, 0, 0, 0]);
  });

  it('from a file is such a one', () => {
    const directory = mkdtempSync(join(tmpdir(), 'iserd-secret-'));
    try {
      const path = join(directory, 'secret');
      writeFileSync(path, 'sesame\n', { mode: 0o600 });
      expect(readSecretFile(path).buffer).to.be.instanceOf(SharedArrayBuffer);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
