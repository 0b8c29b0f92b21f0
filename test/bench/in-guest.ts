/** The part of main.ts that runs in the guest; its argument is what main.ts writes there. */
import { describeMachine } from './machine.ts';
import { measurePlace, type PlaceOptions } from './measuring.ts';
import { resultsDirectory } from './results.ts';

const { commit, ...options } = JSON.parse(process.argv[2]) as Omit<
  PlaceOptions,
  'machine' | 'directory'
> & { commit: string };
const accelerator = process.env['ISERD_VM_ACCEL'] ?? 'tcg: emulated';
const machine = await describeMachine(`QEMU guest (${accelerator})`, commit);
await measurePlace({ ...options, machine, directory: resultsDirectory() });
// Servers still run.
process.exit();
