import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runOk } from '../../helpers/programs.ts';

describe('lockMemory', function () {
  this.timeout(60_000);
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-lock-'));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  // The kernel calls a mapping [heap] that merely touches the heap; one of V8's would end the process.
  it('locks the heap and not what lies beside it; unlockMemory unlocks', async () => {
    const program = join(directory, 'beside-heap');
    const own = 'test/unit/daemon/lock-memory';
    const sources = [`${own}/beside-heap.cc`, 'native/system/process.cc'];
    const options = ['-std=c++20', '-D_GNU_SOURCE', '-Inative', `-I${own}`];
    await runOk('g++', [...options, ...sources, '-o', program]);
    const said = await runOk(program, []);
    expect(said.trim()).to.be.oneOf(['heap 1, beside it 0, then 0', 'errno 1', 'errno 12']);
  });
});
