/** The part of instructions.ts that runs in the guest; its argument is what instructions.ts writes there. */
import { describeMachine } from '../machine.ts';
import { resultsDirectory } from '../results.ts';
import { measureInstructions } from './measuring.ts';
import type { InstructionOptions } from './options.ts';
import { saveResult, type InstructionSample } from './samples.ts';

const { commit, ...options } = JSON.parse(process.argv[2]) as InstructionOptions & {
  commit: string;
};
const date = new Date().toISOString();
const machine = await describeMachine('QEMU guest whose clock counts instructions', commit);
const { trees, requests } = options;
const samples: InstructionSample[] = [];
const troubles: string[] = [];
const save = (): void => {
  saveResult(resultsDirectory(), { date, machine, trees, requests, samples, troubles });
};

await measureInstructions(options, {
  onSample: (sample) => {
    const { server, workload, round, passes } = sample;
    const figures = passes.map(({ daemon, machine: all }) => `${kilo(daemon)}/${kilo(all)}`);
    console.log(
      `round ${round} of ${options.rounds}, ${server}, ${workload}: ${figures.join(' ')}`,
    );
    samples.push(sample);
    save();
  },
  onTrouble: (trouble) => {
    console.log(trouble);
    troubles.push(trouble.replace(/\s+/g, ' '));
    save();
  },
});
// The target still runs.
process.exit();

function kilo(instructions: number): string {
  return (instructions / 1000).toFixed(1);
}
