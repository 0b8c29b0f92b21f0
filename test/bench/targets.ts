/** Prints what the last runs have measured beside what iserd aims at: `node --import tsx test/bench/targets.ts`. Measures nothing itself. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resultsDirectory } from './results.ts';
import { loadMeasured } from './targets/measured.ts';
import { targetRows, targetTable } from './targets/rows.ts';

const directory = resultsDirectory();
const text = targetTable(targetRows(loadMeasured(directory)));
writeFileSync(join(directory, 'targets.md'), text);
console.log(text);
