/** The package's entries, used as somebody else would: by name, from built JavaScript, without the daemon. */
import { expect } from 'chai';
import { repository, run, runOk } from '../helpers/programs.ts';

describe('package entries', function () {
  this.timeout(60_000);

  it('iserd/nbd and iserd/memory make an NBD server that nbdinfo and nbdcopy can use', async () => {
    const server = [
      '[',
      process.execPath,
      `${repository}test/integration/programs/ram-server.mjs`,
      ']',
    ];
    const info = await runOk('nbdinfo', ['--size', ...server]);
    expect(info.trim()).to.equal(String(8 * 2 ** 20));
    await runOk('nbdcopy', [...server, 'null:']);
  });

  it('iserd/iscsi gives the initiator without the daemon', async () => {
    const program = `
      import { LoginEngine, Session, TcpTransport, parseTargetUrl } from 'iserd/iscsi';
      const url = parseTargetUrl('iser://[fe80::1]:3260/iqn.2026-11.test:a/3');
      console.log([LoginEngine, Session, TcpTransport].map((each) => each.name).join(), url.host, url.lun);
    `;
    const { code, stdout, stderr } = await run(
      process.execPath,
      ['--input-type=module', '-e', program],
      {
        cwd: repository,
      },
    );
    expect(code, stderr).to.equal(0);
    expect(stdout.trim()).to.equal('LoginEngine,Session,TcpTransport fe80::1 3');
  });
});
