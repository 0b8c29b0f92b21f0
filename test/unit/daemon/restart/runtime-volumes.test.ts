import { expect } from 'chai';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RuntimeVolumes } from '../../../../daemon/restart/runtime-volumes.ts';

const keys = {
  name: 'data',
  url: 'iscsi://h/iqn.2026-11.test:d/1',
  device: 'auto',
  portals: ['10.0.0.6'],
  replacement_timeout: -1,
  login_timeout: 0.5,
  read_only: true,
};

describe('volumes that were attached at run time', () => {
  let directory: string;
  let volumes: RuntimeVolumes;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-runtime-'));
    volumes = new RuntimeVolumes(directory, '/run/a');
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  const names = (of: RuntimeVolumes): string[] =>
    of.read().volumes.map(({ config }) => config.name);
  const files = (): string[] =>
    readdirSync(directory, { recursive: true })
      .map((path) => join(directory, String(path)))
      .filter((path) => statSync(path).isFile());

  it('are what they were, for nobody else to read', () => {
    volumes.write('data', keys);
    const [{ config }] = volumes.read().volumes;
    expect(config).to.deep.include({
      name: 'data',
      device: 'auto',
      portals: [{ host: '10.0.0.6', port: 3260 }],
      replacement_timeout: Infinity,
      login_timeout: 500,
      read_only: true,
    });
    expect(files().map((path) => statSync(path).mode & 0o777)).to.deep.equal([0o600]);
  });

  it('are none at first', () => {
    expect(volumes.read()).to.deep.equal({ volumes: [], problems: [] });
  });

  it('belong to the daemon of one control socket', () => {
    volumes.write('data', keys);
    expect(names(new RuntimeVolumes(directory, '/run/b'))).to.deep.equal([]);
    expect(names(new RuntimeVolumes(directory, '/run/a'))).to.deep.equal(['data']);
  });

  it('can be replaced and removed', () => {
    volumes.write('data', keys);
    volumes.write('data', { ...keys, read_only: false });
    volumes.write('more', { ...keys, name: 'more' });
    expect(names(volumes)).to.deep.equal(['data', 'more']);
    volumes.remove('data');
    volumes.remove('never');
    expect(names(volumes)).to.deep.equal(['more']);
  });

  it('are told apart from what cannot be understood', () => {
    volumes.write('data', keys);
    volumes.write('more', { ...keys, name: 'more' });
    writeFileSync(files()[0], 'volume = [\n');
    const { problems } = volumes.read();
    expect(names(volumes)).to.deep.equal(['more']);
    expect(problems).to.have.length(1);
    expect(problems[0]).to.match(/data\.toml:/);
  });
});
