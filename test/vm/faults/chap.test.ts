/** CHAP and mutual CHAP against both targets over both transports. */
import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  IserdProcess,
  iserctlPath,
  iserdPath,
  run,
  type Finished,
} from '../../helpers/programs.ts';
import { initiatorOptions, targets } from '../guest/machine.ts';

const ways = [
  { name: 'tgt over iSER', chap: 'tgt_iser_chap_url', mutual: 'tgt_iser_mutual_url' },
  { name: 'tgt over TCP', chap: 'tgt_tcp_chap_url', mutual: 'tgt_tcp_mutual_url' },
  { name: 'LIO over iSER', chap: 'lio_iser_chap_url', mutual: 'lio_iser_mutual_url' },
  { name: 'LIO over TCP', chap: 'lio_tcp_chap_url', mutual: 'lio_tcp_mutual_url' },
] as const;

describe('CHAP', () => {
  let directory = '';
  let user = '';
  let mutualUser = '';

  function secretFile(name: string, secret: string): string {
    const path = join(directory, name);
    writeFileSync(path, secret, { mode: 0o600 });
    return path;
  }

  async function withUser(variable: string): Promise<string> {
    return (await targets.variable(variable)).replace('://', `://${user}@`);
  }

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-chap-'));
    user = await targets.variable('chap_user');
    mutualUser = await targets.variable('mutual_user');
    secretFile('right', await targets.variable('chap_secret'));
    secretFile('wrong', 'not-the-secret-of-it');
    secretFile('right-mutual', await targets.variable('mutual_secret'));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  function inspect(url: string, secret: string): Promise<Finished> {
    const argv = ['inspect', url, '--chap-secret-file', join(directory, secret)];
    return run(process.execPath, [iserctlPath, ...argv, ...initiatorOptions()]);
  }

  function mutualOptions(secret: string): string[] {
    return [
      ...initiatorOptions(),
      '--chap-secret-file',
      join(directory, 'right'),
      '--mutual-chap-user',
      mutualUser,
      '--mutual-chap-secret-file',
      join(directory, secret),
      '--socket',
      join(directory, 'nbd.sock'),
    ];
  }

  /** We cut this login half-way. LIO's portal group takes no other login after that: it gets one that nobody else needs. */
  async function urlToSpoil(variable: string): Promise<string> {
    const url = await withUser(variable);
    if (!variable.startsWith('lio')) return url;
    const name = variable.replaceAll('_', '-');
    await targets.run(`lio_target ${name} mutual`);
    return url.replace('lio-mutual', name);
  }

  for (const { name, chap, mutual } of ways) {
    describe(`at ${name}`, () => {
      it('lets in who has the secret', async () => {
        const { code, stderr } = await inspect(await withUser(chap), 'right');
        expect(code, stderr).to.equal(0);
      });

      it('refuses a wrong secret, in one line and with exit code 1', async () => {
        const url = await withUser(chap);
        const { code, stdout, stderr } = await inspect(url, 'wrong');
        expect(code).to.equal(1);
        expect(stdout).to.equal('');
        expect(stderr).to.match(/^iserctl: .*authentication.*\n$/i);
      });

      it('lets in a target that proves itself', async () => {
        const iserd = await IserdProcess.start([
          'serve',
          await withUser(mutual),
          ...mutualOptions('right-mutual'),
        ]);
        const { code, stderr } = await iserd.stop();
        expect(code, stderr).to.equal(0);
      });

      it('refuses a target that does not know its secret', async () => {
        const url = await urlToSpoil(mutual);
        const argv = [iserdPath, 'serve', url, ...mutualOptions('wrong')];
        const { code, stdout, stderr } = await run(process.execPath, argv);
        expect(code).to.equal(1);
        expect(stdout).to.equal('');
        expect(stderr.split('\n').filter((line) => line.includes('error'))).to.have.lengthOf(1);
        expect(stderr).to.match(/target.*(CHAP|authenticat)/i);
      });
    });
  }
});
