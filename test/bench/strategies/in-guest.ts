/** The part of strategies.ts that runs in the guest; its argument is what strategies.ts writes there. */
import { release } from 'node:os';
import { describeMachine } from '../machine.ts';
import { portalAddress } from './bed.ts';
import { measureSideBySide, measureVolumes, type Findings } from './measuring.ts';
import type { GuestPart } from './options.ts';
import { measureRegistration } from './registration.ts';
import {
  loadPart,
  partPath,
  savePart,
  strategiesDirectory,
  type RegistrationTime,
} from './results.ts';

const options = JSON.parse(process.argv[2]) as GuestPart;
const { part, quick, rounds, seconds, add } = options;
const accelerator = process.env['ISERD_VM_ACCEL'] ?? 'tcg: emulated';
const machine = await describeMachine(`QEMU guest (${accelerator})`, options.commit);
const date = new Date().toISOString();
const path = partPath(strategiesDirectory(quick), part, release());
const before = add ? loadPart(path, part, quick).runs : [];
const done = before.flatMap(({ samples }) => samples.map(({ round }) => round));

function save(found: Findings, times: readonly RegistrationTime[] = []): void {
  const run = { date, seconds, machine, ...found, times };
  savePart(path, { part, quick, runs: [...before, run] });
}

const load = { ...options, firstRound: Math.max(0, ...done) + 1, onProgress: save, rounds };
switch (part) {
  case 'strategies':
  case 'limits':
    save(await measureSideBySide(part, load));
    break;
  case 'volumes':
    save(await measureVolumes(load));
    break;
  case 'registration':
    save({ troubles: [], samples: [], idle: [] }, await measureRegistration(await portalAddress()));
    break;
}
// Servers still run.
process.exit();
