// Runs dependency-cruiser over src/ and daemon/ and fails when a rule is broken, or when nothing was cruised.
import { cruise } from 'dependency-cruiser';
import { createRequire } from 'node:module';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';

const ruleSet = createRequire(import.meta.url)('../.dependency-cruiser.cjs');
const { output } = await cruise(
  ['src', 'daemon'],
  { ...ruleSet.options, validate: true, ruleSet: { forbidden: ruleSet.forbidden } },
  undefined,
  { tsConfig: extractTSConfig('tsconfig.json') },
);
const { summary, modules } = output;
for (const { rule, from, to } of summary.violations)
  console.error(`${rule.name}: ${from} -> ${to}`);
const typescriptModules = modules.filter(({ source }) =>
  /^(src|daemon)\/.*\.ts$/.test(source),
).length;
if (typescriptModules === 0) throw new Error('dependency-cruiser saw no TypeScript module');
console.log(`${typescriptModules} modules cruised, ${summary.violations.length} violations`);
process.exitCode = summary.violations.length === 0 ? 0 : 1;
