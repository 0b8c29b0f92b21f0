/** CHAP against tgt: the target's demand, and ours on the target (mutual). */
import { expect } from 'chai';
import {
  DaemonFixture,
  mebibyte,
  qemuIo,
  runIserctl,
  runIserd,
} from '../helpers/daemon-fixture.ts';
import type { Finished } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';

const ours = { user: 'initiator', secret: 'sixteen-bytes-01' };
const theirs = { user: 'target', secret: 'sixteen-bytes-02' };

describe('CHAP', function () {
  this.timeout(60_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  let url: string;

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes: 8 * mebibyte }], chap: ours, mutualChap: theirs });
    url = tgt.urls[0].replace('://', `://${ours.user}@`);
  });

  const secretOption = (option: string, secret: string): string[] => [
    option,
    fixture.file(`${secret}\n`),
  ];
  const chap = (secret = ours.secret): string[] => secretOption('--chap-secret-file', secret);
  const mutual = (user = theirs.user, secret = theirs.secret): string[] => [
    '--mutual-chap-user',
    user,
    ...secretOption('--mutual-chap-secret-file', secret),
  ];
  const serve = (...options: string[]): Promise<Finished> =>
    runIserd('serve', '--socket', `${fixture.directory()}/nbd`, ...options);

  function expectRefusal({ code, stderr }: Finished, message: RegExp): void {
    expect(code, stderr).to.equal(1);
    const errors = stderr.split('\n').filter((line) => / error: /.test(line));
    expect(errors, stderr).to.have.length(1);
    expect(errors[0]).to.match(message);
    expect(stderr).not.to.include(ours.secret).and.not.to.include(theirs.secret);
  }

  it('lets in who knows the secret', async () => {
    const { uri } = await fixture.serve(url, ...chap());
    await qemuIo(uri, 'write -P 1 0 64k', 'read -P 1 0 64k');
  });

  it('takes the secret from the URL, too', async () => {
    const { uri } = await fixture.serve(url.replace('@', `%${ours.secret}@`));
    await qemuIo(uri, 'read 0 4k');
  });

  it('lets us in when the target proves to know its own secret', async () => {
    const { uri } = await fixture.serve(url, ...chap(), ...mutual());
    await qemuIo(uri, 'write -P 2 0 64k', 'read -P 2 0 64k');
  });

  it('works from a configuration file', async () => {
    const socket = `${fixture.directory()}/nbd`;
    const file = fixture.file(`
[control]
socket = "${fixture.directory()}/control"
[[volume]]
name = "secret"
url = "${tgt.urls[0]}"
socket = "${socket}"
chap_user = "${ours.user}"
chap_secret_file = "${fixture.file(ours.secret)}"
mutual_chap_user = "${theirs.user}"
mutual_chap_secret_file = "${fixture.file(theirs.secret)}"
`);
    const { uri } = await fixture.iserd('--config', file);
    await qemuIo(uri ?? '', 'read 0 4k');
  });

  it('shows iserctl inspect what it shows others', async () => {
    const { code, stdout, stderr } = await runIserctl('inspect', url, ...chap());
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/AuthMethod +CHAP/);
  });

  it('refuses a wrong secret', async () => {
    expectRefusal(await serve(url, ...chap('another-secret-00')), /\(0x0201\)/);
  });

  it('refuses a wrong user', async () => {
    const nobody = tgt.urls[0].replace('://', '://nobody@');
    expectRefusal(await serve(nobody, ...chap()), /\(0x0201\)/);
  });

  it('refuses who has no secret to show', async () => {
    expectRefusal(await serve(tgt.urls[0]), /CHAP/);
  });

  it('makes us leave when the target does not know its secret', async () => {
    const wrong = mutual(theirs.user, 'another-secret-00');
    expectRefusal(await serve(url, ...chap(), ...wrong), /does not know the mutual secret/);
  });

  it('makes us leave when the target proves to be somebody else', async () => {
    expectRefusal(await serve(url, ...chap(), ...mutual('another')), /CHAP_N/);
  });

  it('does not take a secret that both sides share', async () => {
    const end = await serve(url, ...chap(), ...mutual(theirs.user, ours.secret));
    expectRefusal(end, /secrets must differ/);
  });
});
