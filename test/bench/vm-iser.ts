/**
 * In the VM over iSER (soft-RoCE), both on one tgt: iserd and qemu-nbd, each behind a kernel device, fio's libaio engine.
 * The guest is emulated where there is no KVM: only the ratio of what runs side by side says something.
 *
 *   node --import tsx test/bench/vm-iser.ts [rounds] [seconds]
 */
import { spawn } from 'node:child_process';
import { repository } from '../helpers/programs.ts';
import { resultsDirectory } from './side-by-side.ts';

const [rounds = '3', seconds = '5'] = process.argv.slice(2);
const inGuest = ['node', '--import', 'tsx', 'test/bench/vm-iser-guest.ts', rounds, seconds];
const child = spawn(
  'test/vm/run.sh',
  [
    ...['-m', '4096', '-t', '2400', '-o', resultsDirectory()],
    ...['test/vm/guest/prepared.sh', ...inGuest],
  ],
  { cwd: repository, stdio: 'inherit' },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
