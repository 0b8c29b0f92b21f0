// Runs the test layers in order and sums up their counts. Options: --only LAYER[,LAYER…], --list.
// A layer that cannot be run is a failure, never a skip. Every layer's command ends with "N passed, N failed, N skipped"; its lines
// "failed: …" are said again at the end, where one looks first.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import typescript from 'typescript';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const bin = (name) => `node_modules/.bin/${name}`;
const mocha = [bin('mocha'), '--reporter', 'test/helpers/reporter.cjs'];
const lineCoveragePercent = '90';
/** A hanging test must not hang CI. */
const layerTimeoutMs = 40 * 60_000;

async function filesUnder(directory, ...suffixes) {
  if (!existsSync(directory)) return [];
  const entries = await readdir(directory, { recursive: true });
  return entries
    .map((entry) => `${directory}/${entry}`)
    .filter(
      (path) => !path.startsWith('native/build') && suffixes.some((end) => path.endsWith(end)),
    )
    .sort();
}

/** Files of types only: nothing loads them, so coverage would count every line as missed. */
async function filesWithoutCode(directory) {
  const compilerOptions = {
    target: 'ES2023',
    module: 'ESNext',
    verbatimModuleSyntax: true,
    removeComments: true,
  };
  const found = [];
  for (const path of await filesUnder(directory, '.ts')) {
    const { outputText } = typescript.transpileModule(await readFile(path, 'utf8'), {
      compilerOptions,
    });
    if (outputText.trim() === 'export {};') found.push(path);
  }
  return found;
}

async function checks() {
  const native = await filesUnder('native', '.cc', '.h');
  const shell = (
    await Promise.all(
      ['test', 'native', 'packaging', '.ci'].map((directory) =>
        filesUnder(directory, '.sh', '/run'),
      ),
    )
  ).flat();
  return {
    types: [bin('tsc'), '-p', 'tsconfig.json'],
    eslint: [bin('eslint'), '.'],
    imports: ['node', 'test/lint-imports.mjs'],
    prettier: [bin('prettier'), '--check', '--log-level', 'warn', '.'],
    'clang-format': ['clang-format-19', '--dry-run', '--Werror', ...native],
    shellcheck: ['shellcheck', '-x', '-P', 'SCRIPTDIR', '-P', '.', ...shell],
  };
}

const layers = {
  async check() {
    const all = Object.entries(await checks());
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const next = async () => {
      for (let check = all.shift(); check !== undefined; check = all.shift()) {
        const [name, command] = check;
        const lines = [];
        const code = await execute(command, (line) => lines.push(line));
        counts[code === 0 ? 'passed' : 'failed'] += 1;
        console.log(`  ${code === 0 ? '✔' : '✘'} ${name}`);
        if (code === 0) continue;
        failures.push(`failed: ${name}`);
        for (const line of lines) console.log(`    ${line}`);
      }
    };
    await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, next));
    return counts;
  },
  unit: async () =>
    counted([
      bin('c8'),
      ...['--all', '--src', 'src', '--include', 'src/**/*.ts'],
      ...(await filesWithoutCode('src')).flatMap((path) => ['--exclude', path]),
      ...['--reporter', 'text-summary', '--reporter', 'lcov'],
      ...['--check-coverage', '--lines', lineCoveragePercent],
      ...mocha,
      'test/unit/**/*.test.ts',
    ]),
  sanitize: () => counted(['bash', 'native/sanitize.sh']),
  integration: () => counted([...mocha, '--timeout', '120000', 'test/integration/**/*.test.ts']),
  /** What breaks targets and devices on purpose cannot harm the rest, nor each other: every file of faults has its own boot. */
  vm: async () => {
    const files = ['test/vm/*.test.ts', ...(await filesUnder('test/vm/faults', '.test.ts'))];
    const boots = Object.fromEntries(
      files.map((pattern) => [pattern, [...mocha, '--timeout', '300000', pattern]]),
    );
    // Requests that wait for an answer occupy a thread each.
    boots['the fault matrix, each fault once'] = [
      ...['env', 'UV_THREADPOOL_SIZE=48', 'node', '--import', 'tsx'],
      ...['test/faults/matrix.ts', '--quick'],
    ];
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const [name, command] of Object.entries(boots)) {
      console.log(`\n  boot for ${name}`);
      const boot = await counted([
        ...['test/vm/run.sh', '-m', '4096', '-t', '2200', 'bash', 'test/vm/guest/prepared.sh'],
        ...command,
      ]);
      for (const key of Object.keys(counts)) counts[key] += boot[key];
    }
    return counts;
  },
  /** The package, a machine that boots with it, a guest in the guest. By name only (npm run test:system): it takes a quarter of an hour. */
  system: () => counted(['bash', 'test/system/run.sh']),
};

/** A line for each failure of all layers, in order. */
const failures = [];

/** Process groups that are running, so that none outlives this program. */
const running = new Set();
const killGroup = (pid) => {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
};
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.on(signal, () => {
    running.forEach(killGroup);
    process.exit(code);
  });
}

/** Runs a command, hands out its output line by line, resolves with its exit code (127: it could not be started). */
function execute([program, ...argv], onLine) {
  return new Promise((resolve) => {
    const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    child.on('error', (error) => {
      onLine(`${program}: ${error.message}`);
      resolve(127);
    });
    if (child.pid === undefined) return;
    running.add(child.pid);
    const timer = setTimeout(() => {
      onLine(`${program} was stopped after ${layerTimeoutMs / 60_000} minutes`);
      killGroup(child.pid);
    }, layerTimeoutMs);
    const streams = [child.stdout, child.stderr].map((stream) => {
      const lines = createInterface({ input: stream, crlfDelay: Infinity });
      lines.on('line', onLine);
      return new Promise((done) => lines.on('close', done));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child.pid);
      if (signal !== null) onLine(`${program} was ended by ${signal}`);
      void Promise.all(streams).then(() => resolve(code ?? 128));
    });
  });
}

/** The sum of the counts that a command prints; a bad end that no counted failure explains is one failure more. */
async function counted(command) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const explained = failures.length;
  let seen = false;
  const code = await execute(command, (line) => {
    if (line.startsWith('failed: ')) failures.push(line);
    const match = /^(\d+) passed, (\d+) failed, (\d+) skipped$/.exec(line);
    if (match === null) {
      console.log(line);
      return;
    }
    seen = true;
    const [passed, failed, skipped] = match.slice(1).map(Number);
    counts.passed += passed;
    counts.failed += failed;
    counts.skipped += skipped;
  });
  if (!seen) console.log(`${command[0]} reported no counts (exit ${code})`);
  if (counts.failed === 0 && (code !== 0 || !seen)) counts.failed = 1;
  if (counts.failed > 0 && failures.length === explained) {
    failures.push(`failed: ${command.join(' ')} (exit ${code})`);
  }
  return counts;
}

function selectedLayers(argv) {
  const names = Object.keys(layers);
  if (argv.length === 0) return names.filter((name) => name !== 'system');
  const [option, list] = argv;
  const wanted = list?.split(',') ?? [];
  const unknown = wanted.filter((name) => !names.includes(name));
  if (option !== '--only' || wanted.length === 0 || unknown.length > 0 || argv.length > 2) {
    if (option === '--list') console.log(names.join('\n'));
    else console.error(`usage: npm test -- [--list | --only ${names.join(',')}]`);
    process.exit(option === '--list' ? 0 : 2);
  }
  return names.filter((name) => wanted.includes(name));
}

const text = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;

const total = { passed: 0, failed: 0, skipped: 0 };
const table = [];
for (const name of selectedLayers(process.argv.slice(2))) {
  console.log(`\n== ${name}`);
  const started = performance.now();
  const counts = await layers[name]();
  for (const key of Object.keys(total)) total[key] += counts[key];
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  table.push(`${name.padEnd(12)} ${seconds.padStart(7)} s   ${text(counts)}`);
}
if (failures.length > 0) console.log(`\n${failures.join('\n')}`);
console.log(`\n${table.join('\n')}\n`);
console.log(text(total));
process.exitCode = total.failed === 0 ? 0 : 1;
