/** Writes the table and the charts of everything that the result files of a grid hold, and prints the table. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chartSpec } from './charts.ts';
import { grid } from './grid.ts';
import { placeNames } from './places.ts';
import { svgOf } from './render.ts';
import { load, runDirectory, type RunKind } from './results.ts';
import { markdown } from './table.ts';

export async function report(options: RunKind): Promise<void> {
  const directory = runDirectory(options);
  const results = load(directory, placeNames);
  if (results.length === 0) throw new Error(`no results in ${directory}`);
  const { charts } = grid(options.grid, options.quick);
  const title = charts.length === 0 ? 'Side by side' : 'Six charts';
  const text = markdown(title, results, charts);
  writeFileSync(join(directory, 'table.md'), text);
  for (const chart of charts) {
    const spec = chartSpec(chart, results);
    if (spec !== undefined) writeFileSync(join(directory, `${chart.id}.svg`), await svgOf(spec));
  }
  console.log(`\n${text}\n${directory}: JSON, table.md${charts.length === 0 ? '' : ', charts'}`);
}
