/** The domain descriptions for libvirt that the documentation gives: valid, and about the right disk. */
import { expect } from 'chai';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DaemonFixture } from '../helpers/daemon-fixture.ts';
import { repository, run } from '../helpers/programs.ts';

const directory = `${repository}packaging/doc`;

describe('domain descriptions for libvirt', function () {
  this.timeout(60_000);
  const test = DaemonFixture.perTest();
  const names = readdirSync(directory).filter((name) => name.endsWith('.xml'));

  it('are there for both kinds of disk', () => {
    expect(names).to.deep.equal(['vm-kernel-device.xml', 'vm-nbd-unix.xml']);
  });

  for (const name of names) {
    it(`are what libvirt accepts: ${name}`, async () => {
      const { code, stdout, stderr } = await run('virt-xml-validate', [
        join(directory, name),
        'domain',
      ]);
      expect(code, stdout + stderr).to.equal(0);
    });
  }

  it('are judged by a schema that refuses others', async () => {
    const wrong = readFileSync(join(directory, names[0]), 'utf8').replace(
      'type="block"',
      'type="b"',
    );
    const path = join(test.directory(), 'wrong.xml');
    writeFileSync(path, wrong);
    expect((await run('virt-xml-validate', [path, 'domain'])).code).not.to.equal(0);
  });
});
