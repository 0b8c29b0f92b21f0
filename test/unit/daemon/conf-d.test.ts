import { expect } from 'chai';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { readConfig } from '../../../daemon/config/load.ts';

const volume = (name: string, ...lines: readonly string[]): string =>
  [
    '[[volume]]',
    `name = "${name}"`,
    'url = "iscsi://h/iqn.2026-11.test:d/0"',
    'device = "auto"',
    ...lines,
    '',
  ].join('\n');

describe('conf.d', () => {
  let directory: string;
  let main: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-conf-d-'));
    main = join(directory, 'iserd.toml');
    write('iserd.toml', '');
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  function write(name: string, text: string): string {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  const names = (): string[] | undefined => readConfig(main).config?.volume.map(({ name }) => name);

  it('need not be there', () => {
    expect(names()).to.deep.equal([]);
  });

  it('adds volumes to those of the main file, in the order of file names', () => {
    write('iserd.toml', volume('main'));
    write('conf.d/20-b.toml', volume('b'));
    write('conf.d/10-a.toml', volume('a') + volume('a2'));
    expect(names()).to.deep.equal(['main', 'a', 'a2', 'b']);
  });

  it('is of *.toml only, so that editors may leave their files', () => {
    for (const name of ['a.toml~', 'b.toml.bak', '.c.toml', 'README'])
      write(`conf.d/${name}`, 'nonsense');
    expect(names()).to.deep.equal([]);
  });

  it('holds volumes and nothing else', () => {
    const path = write('conf.d/a.toml', `${volume('a')}[log]\nlevel = "info"\n`);
    expect(readConfig(main).problems).to.deep.equal([
      `${path}:5: log: only [[volume]] may stand here; other tables belong into the main file`,
    ]);
  });

  it('names file and line of everything that is wrong in any file', () => {
    write('iserd.toml', '[lanes]\nspin_us = -1\n');
    const a = write('conf.d/a.toml', 'volume = 7\n');
    const b = write('conf.d/b.toml', '[[volume]\n');
    const c = write('conf.d/c.toml', volume('ok') + volume('bad', 'lanes = 99', 'laens = 1'));
    const { config, problems, volumes } = readConfig(main);
    expect(config).to.equal(undefined);
    expect(volumes.map((located) => located.config.name)).to.deep.equal(['ok']);
    const places = problems.map((problem) => /^[^:]*:\d+/.exec(problem)?.[0]);
    expect(places).to.deep.equal([`${main}:2`, `${a}:1`, `${b}:1`, `${c}:9`, `${c}:10`]);
  });

  for (const [key, value] of [
    ['name', '"main"'],
    ['socket', '"/run/s"'],
    ['listen', '"127.0.0.1:10809"'],
  ]) {
    it(`names both files when two volumes have the same ${key}`, () => {
      const line = `${key} = ${value}`;
      const lines = key === 'name' ? [] : [line];
      write('iserd.toml', volume('main', ...lines));
      const path = write('conf.d/a.toml', volume(key === 'name' ? 'main' : 'other', ...lines));
      const place = key === 'name' ? 2 : 5;
      const [problem, ...others] = readConfig(main).problems;
      expect(others).to.deep.equal([]);
      expect(problem).to.match(
        new RegExp(`^${path}:${place}: volume\\.#1\\.${key}: "[^"]*" is used twice`),
      );
      expect(problem.endsWith(`, first in ${main}:${place}`), problem).to.equal(true);
    });
  }
});
