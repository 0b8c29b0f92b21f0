import { expect } from 'chai';
import { parseConfig } from '../../../../daemon/config/load.ts';
import { checkConfiguration } from '../../../../daemon/doctor/configuration.ts';
import { ConfigurationError } from '../../../../src/errors.ts';
import { FakeMachine } from '../../../helpers/fake-machine.ts';

const path = '/etc/iserd/iserd.toml';
const volume = `[[volume]]
name = "data"
url = "iscsi://10.0.0.5/iqn.2026-11.org.example:disk/0"
`;

describe('doctor: configuration', () => {
  const machine = new FakeMachine({ [path]: '', '/run/x/keep': '' });
  const sources = (text: string, readSafe: (file: string) => unknown = () => undefined) => ({
    load: () => parseConfig(text, path),
    readSafe,
  });

  it('is content with a file that can be used', () => {
    const text = `${volume}device = "auto"\n`;
    const { findings, config } = checkConfiguration(machine, sources(text), path, true);
    expect(findings).to.deep.equal([{ level: 'ok', message: `${path} can be used: 1 volume` }]);
    expect(config?.volume).to.have.length(1);
  });

  it('does without the default file, not without one that was named', () => {
    const missing = {
      ...sources(''),
      load: () => {
        throw new ConfigurationError('config-unreadable', '/no: ENOENT');
      },
    };
    expect(checkConfiguration(machine, missing, '/no', false).findings[0].level).to.equal('note');
    expect(checkConfiguration(machine, missing, '/no', true).findings[0]).to.include({
      level: 'wrong',
      cure: 'check path and permissions',
    });
  });

  it('has a line for each defect', () => {
    const text = `${volume}device = "auto"\nlanes = 99\nspeed = 1\n`;
    const { findings, config } = checkConfiguration(machine, sources(text), path, true);
    expect(config).to.equal(undefined);
    expect(findings.map(({ level }) => level)).to.deep.equal(['wrong', 'wrong']);
    expect(findings.map(({ message }) => message).join()).to.match(/lanes.*speed: unknown key/s);
  });

  it('says that a secret can be read by others', () => {
    const text = `${volume}device = "auto"\nchap_user = "u"\nchap_secret_file = "/etc/s"\n`;
    const refuse = (file: string) => {
      throw new ConfigurationError('secret-mode', `${file}: mode 0644 lets others read the secret`);
    };
    const { findings } = checkConfiguration(machine, sources(text, refuse), path, true);
    expect(findings[1]).to.include({ level: 'wrong' });
    expect(findings[1].message).to.equal(
      'volume data: /etc/s: mode 0644 lets others read the secret',
    );
  });

  it('says that a socket has no directory', () => {
    const at = (socket: string) =>
      checkConfiguration(machine, sources(`${volume}socket = "${socket}"\n`), path, true).findings;
    expect(at('/run/x/data.sock')).to.have.length(1);
    expect(at('/run/iserd/data.sock')).to.have.length(1);
    expect(at('/run/y/data.sock')[1].message).to.equal(
      'volume data: its socket cannot be made in /run/y (ENOENT)',
    );
  });
});
