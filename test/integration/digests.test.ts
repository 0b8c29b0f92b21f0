/** CRC32C digests over TCP (RFC 7143 §11.2.3 and §11.7) against a target that has them, and one that has not. */
import { expect } from 'chai';
import {
  DaemonFixture,
  mebibyte,
  qemuIo,
  runIserctl,
  runIserd,
} from '../helpers/daemon-fixture.ts';
import type { Tgt } from '../helpers/tgt.ts';

describe('digests', function () {
  this.timeout(60_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let withDigests: Tgt;
  let without: Tgt;

  before(async () => {
    const luns = [{ sizeBytes: 32 * mebibyte }];
    withDigests = await suite.tgt({ luns });
    without = await suite.tgt({ luns });
    for (const name of ['HeaderDigest', 'DataDigest']) {
      const parameter = ['--name', name, '--value', 'CRC32C,None'];
      await withDigests.admin('--op', 'update', '--mode', 'target', '--tid', '1', ...parameter);
    }
  });

  async function negotiated(url: string, ...options: string[]): Promise<Record<string, string>> {
    const { code, stdout, stderr } = await runIserctl('inspect', url, '--json', ...options);
    expect(code, stderr).to.equal(0);
    return (JSON.parse(stdout) as { keys: Record<string, string> }).keys;
  }

  for (const [header, data] of [
    ['crc32c', 'none'],
    ['none', 'crc32c'],
    ['crc32c', 'crc32c'],
  ]) {
    it(`carry data: header digest ${header}, data digest ${data}`, async () => {
      const options = ['--header-digest', header, '--data-digest', data];
      const keys = await negotiated(withDigests.urls[0], ...options);
      const shown = (digest: string): string => (digest === 'none' ? 'None' : 'CRC32C');
      expect(keys).to.include({ HeaderDigest: shown(header), DataDigest: shown(data) });

      const { uri, iserd } = await fixture.serve(withDigests.urls[0], ...options);
      const writes = ['write -P 0xd1 1M 3M', 'write -P 0xd2 512 1536', 'write -P 0xd3 8M 24M'];
      await qemuIo(uri, ...writes, 'flush');
      await qemuIo(uri, ...writes.map((write) => write.replace('write', 'read')));
      expect(iserd.log).not.to.match(/connection closed/);
    });
  }

  it('are gone without when they are preferred only', async () => {
    const options = ['--header-digest', 'prefer-crc32c', '--data-digest', 'prefer-crc32c'];
    const none = { HeaderDigest: 'None', DataDigest: 'None' };
    const both = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' };
    expect(await negotiated(without.urls[0], ...options)).to.include(none);
    expect(await negotiated(withDigests.urls[0], ...options)).to.include(both);
  });

  it('that are demanded of a target without them are a clear error', async () => {
    const argv = ['serve', without.urls[0], '--socket', `${fixture.directory()}/nbd`];
    const { code, stderr } = await runIserd(...argv, '--data-digest', 'crc32c');
    expect(code).to.equal(1);
    expect(stderr).to.match(/ error: volume serve: DataDigest: we need CRC32C/);
  });
});
