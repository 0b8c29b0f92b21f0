/** The manual pages say everything that the programs and the configuration know, and nothing else. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { configSchema } from '../../../daemon/config/schema.ts';
import { iserctlPath, iserdPath, repository, run, runOk } from '../../helpers/programs.ts';

const pages = ['iserd.8', 'iserctl.8', 'iserd.toml.5'];

function page(name: string): string {
  return readFileSync(`${repository}packaging/man/${name}`, 'utf8');
}

/** What the items of the page's lists are called: options (Fl) or commands and keys (Ic). */
function items(name: string, macro: 'Fl' | 'Ic'): string[] {
  const pattern = new RegExp(`^\\.It ${macro} (?:-)?(\\S+)`, 'gm');
  return [...page(name).matchAll(pattern)].map(([, item]) => item).sort();
}

async function help(...argv: readonly string[]): Promise<string> {
  return runOk(process.execPath, [...argv, '--help']);
}

function optionsIn(text: string): string[] {
  return [...text.matchAll(/^ +(?:-\w, )?--([a-z][a-z-]*)/gm)].map(([, option]) => option);
}

function commandsIn(text: string): string[] {
  return [...text.matchAll(/^ {2}(?:iserctl|iserd) ([a-z][a-z-]*)/gm)].map(([, name]) => name);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}

describe('the manual', () => {
  for (const name of pages) {
    it(`${name} is what mandoc calls well-formed`, async () => {
      const path = `${repository}packaging/man/${name}`;
      const { stdout } = await run('mandoc', ['-T', 'lint', '-W', 'style', path]);
      // Which other manuals there are is a matter of this machine.
      const complaints = stdout
        .split('\n')
        .filter((line) => !/mandoc\.db|not found: Xr/.test(line));
      expect(complaints.join('\n')).to.equal('');
    });
  }

  it('names every option of iserd', async () => {
    const all = [
      ...optionsIn(await help(iserdPath)),
      ...optionsIn(await help(iserdPath, 'serve', 'x')),
    ];
    expect(items('iserd.8', 'Fl')).to.deep.equal(unique(all));
  });

  it('names every command of iserctl, and every option of these', async function () {
    this.timeout(60_000);
    const commands = commandsIn(await help(iserctlPath));
    expect(commands).to.have.length.above(4);
    expect(items('iserctl.8', 'Ic')).to.deep.equal(unique(commands));
    const texts = await Promise.all(commands.map((command) => help(iserctlPath, command)));
    expect(items('iserctl.8', 'Fl')).to.deep.equal(unique(texts.flatMap(optionsIn)));
  });

  it('names every table and key of the configuration', () => {
    const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' });
    const tables = Object.entries(schema.properties ?? {});
    expect(tables).to.have.length.above(5);
    for (const [table, value] of tables) {
      const { items: element, properties } = value as z.core.JSONSchema.JSONSchema;
      const keys = (element as z.core.JSONSchema.JSONSchema | undefined)?.properties ?? properties;
      const heading = element === undefined ? `[${table}]` : `[[${table}]]`;
      const section = page('iserd.toml.5')
        .split(/^\.S[sh] /m)
        .find((text) => text.startsWith(`The ${heading} table`));
      expect(section, heading).not.to.equal(undefined);
      const named = [...(section ?? '').matchAll(/^\.It Ic (\S+)/gm)].map(([, key]) => key);
      expect(named, heading).to.deep.equal(Object.keys(keys ?? {}).sort());
    }
  });
});
