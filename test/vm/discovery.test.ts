/** The operator's one-shot commands against both targets, and what they say when there is nobody to talk to. */
import { expect } from 'chai';
import { iserctlPath, run, type Finished } from '../helpers/programs.ts';
import { initiatorOptions, targets } from './guest/machine.ts';

function iserctl(...argv: readonly string[]): Promise<Finished> {
  return run(process.execPath, [iserctlPath, ...argv, ...initiatorOptions()]);
}

const portals = [
  { name: 'tgt over iSER', scheme: 'iser', port: 'tgt_port', target: 'iqn.2026-11.test:iser' },
  { name: 'tgt over TCP', scheme: 'iscsi', port: 'tgt_port', target: 'iqn.2026-11.test:tcp' },
  { name: 'LIO over iSER', scheme: 'iser', port: 'lio_iser_port', target: 'iqn.2026-11.test:lio' },
  { name: 'LIO over TCP', scheme: 'iscsi', port: 'lio_tcp_port', target: 'iqn.2026-11.test:lio' },
] as const;

describe('iserctl', () => {
  let address = '';

  before(async () => {
    address = await targets.variable('portal_address');
  });

  for (const { name, scheme, port, target } of portals) {
    it(`discovers the targets of ${name}`, async () => {
      const url = `${scheme}://${address}:${await targets.variable(port)}`;
      const { code, stdout, stderr } = await iserctl('discover', url);
      expect(code, stderr).to.equal(0);
      expect(stdout.split('\n')).to.include(target);
      expect(stderr).to.equal('');
    });
  }

  it('inspects a logical unit over iSER: identity, size, negotiated keys', async () => {
    const { code, stdout, stderr } = await iserctl(
      'inspect',
      await targets.variable('lio_iser_url'),
      '--json',
    );
    expect(code, stderr).to.equal(0);
    const report = JSON.parse(stdout) as { product: string; keys: Record<string, string> };
    expect(report.product).to.match(/^RAMDISK/);
    expect(report.keys).to.include({ RDMAExtensions: 'Yes' });
    expect(stderr).to.equal('');
  });

  for (const scheme of ['iser', 'iscsi'] as const) {
    it(`says in one line that nobody listens on the port (${scheme})`, async () => {
      const { code, stdout, stderr } = await iserctl(
        'inspect',
        `${scheme}://${address}:3999/iqn.2026-11.test:none/0`,
      );
      expect(code).to.equal(1);
      expect(stdout).to.equal('');
      expect(stderr).to.match(/^iserctl: .*10\.9\.9\.1.*3999.*refused.*\n$/i);
    });

    it(`says in one line that nobody has the address (${scheme})`, async () => {
      const { code, stdout, stderr } = await iserctl(
        'inspect',
        `${scheme}://10.9.9.77/iqn.2026-11.test:none/0`,
      );
      expect(code).to.equal(1);
      expect(stdout).to.equal('');
      expect(stderr).to.match(/^iserctl: .*10\.9\.9\.77.*\n$/);
    });
  }
});
