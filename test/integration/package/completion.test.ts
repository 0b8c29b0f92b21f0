/** The shells complete what the programs know: in real shells, with the programs as they are installed. */
import { expect } from 'chai';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { iserctlPath, iserdPath, repository, runOk } from '../../helpers/programs.ts';

const completions = `${repository}packaging/completion`;

describe('completion', function () {
  this.timeout(60_000);
  let directory = '';
  let env: NodeJS.ProcessEnv;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-completion-'));
    const bin = join(directory, 'bin');
    mkdirSync(bin);
    symlinkSync(iserdPath, join(bin, 'iserd'));
    symlinkSync(iserctlPath, join(bin, 'iserctl'));
    for (const program of [iserdPath, iserctlPath]) chmodSync(program, 0o755);
    writeFileSync(join(directory, 'iserd.toml'), '');
    // The user's own shell is not the one that asks.
    env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, SHELL: '/bin/false' };
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  /** What bash offers for a command line that ends where the cursor is. */
  async function bash(line: string): Promise<string[]> {
    const words = line.split(' ');
    const script = `
      . /usr/share/bash-completion/bash_completion
      . ${completions}/iserctl
      COMP_LINE=$1 COMP_POINT=\${#1}
      shift
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
      _iserd "$1" "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const printed = await runOk('bash', ['-c', script, 'bash', line, ...words], {
      env,
      cwd: directory,
    });
    return printed
      .split('\n')
      .filter((word) => word !== '')
      .sort();
  }

  it('of bash knows the commands', async () => {
    expect(await bash('iserctl ')).to.include.members(['discover', 'inspect', 'restart', 'status']);
    expect(await bash('iserctl st'))
      .to.include('status')
      .and.not.to.include('restart');
    expect(await bash('iserd ser')).to.deep.equal(['serve']);
  });

  it('of bash knows the options of a command, and the values of an option', async () => {
    expect(await bash('iserctl inspect --data')).to.deep.equal(['--data-digest']);
    expect(await bash('iserctl inspect --data-digest ')).to.include.members(['none', 'crc32c']);
    expect(await bash('iserctl inspect --data-digest cr')).to.deep.equal(['crc32c']);
    expect(await bash('iserd serve x --device a')).to.deep.equal(['auto']);
  });

  it('of bash offers files where a file is wanted', async () => {
    expect(await bash('iserd --config ')).to.include('iserd.toml');
    expect(await bash('iserd --config is')).to.deep.equal(['iserd.toml']);
  });

  it('of zsh is taken up by compinit, and parsed', async () => {
    const script = `
      fpath=(${completions} $fpath)
      autoload -Uz compinit && compinit -u -d ${directory}/zcompdump
      print -r -- $_comps[iserctl] $_comps[iserd]
      autoload +X _iserctl && print -r -- loaded`;
    const printed = await runOk('zsh', ['-f', '-c', script], { env });
    expect(printed.trim().split('\n')).to.deep.equal(['_iserctl _iserctl', 'loaded']);
    await runOk('zsh', ['-n', `${completions}/_iserctl`]);
  });

  it('of zsh offers the commands with what they do', async () => {
    // A shell on a terminal of its own, and somebody who types.
    const script = `
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell "PROMPT=; fpath=(${completions} \\$fpath); autoload -Uz compinit; compinit -u -d ${directory}/zcompdump2; print REA''DY"
      zpty -r shell shown '*READY*'
      zpty -w -n shell $'iserctl dis\\t'
      zpty -r shell shown '*discover*'
      print -r -- "$shown"
      zpty -w -n shell $'\\C-uiserctl \\t'
      zpty -r shell shown '*list the targets*'
      print -r -- "$shown"`;
    const printed = await runOk('timeout', ['30', 'zsh', '-f', '-c', script], { env });
    expect(printed)
      .to.match(/iserctl discover/)
      .and.match(/detach +-- /);
  });
});
