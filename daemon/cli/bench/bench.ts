/** `iserctl bench URL`: a short measurement of one logical unit through the library, without a daemon and without NBD. */
import { CodedError, ConfigurationError } from '../../../src/errors.ts';
import { formatTargetUrl, parseTargetUrl } from '../../../src/iscsi/url.ts';
import type { SessionReport } from '../../lane/messages.ts';
import { Load, readRange, type LoadGround, type LoadResult, type Workload } from './load.ts';
import { benchDocument, describeBench, ProgressLine, workloadName } from './report.ts';
import { edgeBytes, findSignatures } from './signatures.ts';
import { defineCommand, digestOptions, initiatorOptions, jsonOption, unitUrl } from '../options.ts';
import { unitSpec, withLane, type TargetOptions } from '../target-session.ts';

export const benchCommand = defineCommand({
  command: 'bench <url>',
  describe:
    'measure one LUN for some seconds: rates and latencies, reading only unless told otherwise',
  builder: (builder) =>
    builder
      .positional('url', unitUrl)
      .options({ ...initiatorOptions, ...jsonOption, ...digestOptions })
      .option('seconds', {
        type: 'number',
        default: 5,
        requiresArg: true,
        describe: 'for each line of the table',
      })
      .option('write', {
        type: 'boolean',
        default: false,
        describe: 'measure writes, too: DESTROYS what is on the LUN',
      })
      .option('yes', {
        type: 'boolean',
        default: false,
        describe: 'with --write: even if there are partitions or file systems',
      })
      .example(
        '$0 bench iser://10.0.0.5/iqn.2026-11.org.example:disk/0',
        'how fast the target is without NBD and page cache',
      ),
  handler: (options) => printBench(options),
});

export interface BenchOptions extends TargetOptions {
  readonly seconds: number;
  readonly write: boolean;
  readonly yes: boolean;
  readonly json: boolean;
}

const kibibyte = 1024;
const shapes = [
  { order: 'random', blockBytes: 4 * kibibyte, depth: 1 },
  { order: 'random', blockBytes: 4 * kibibyte, depth: 32 },
  { order: 'sequential', blockBytes: 256 * kibibyte, depth: 8 },
  { order: 'sequential', blockBytes: 1024 * kibibyte, depth: 8 },
] as const;

const longestSeconds = 600;
/** What the compiler and the target's cache need to settle: a fifth of the time, not counted. */
const warmUpShare = 0.2;
const longestWarmUpMs = 1000;
const progressIntervalMs = 200;

/** Reads first: writes change what is read. */
function workloads(write: boolean): Workload[] {
  const operations = write ? (['read', 'write'] as const) : (['read'] as const);
  return operations.flatMap((operation) => shapes.map((shape) => ({ operation, ...shape })));
}

export async function printBench(options: BenchOptions): Promise<void> {
  if (!(options.seconds > 0 && options.seconds <= longestSeconds)) {
    throw new ConfigurationError(
      'bench-seconds',
      `--seconds must be more than 0 and at most ${longestSeconds}`,
    );
  }
  const spec = { ...unitSpec(options), readOnly: !options.write };
  const size = { arenaBytes: 64 * 2 ** 20, requestCapacity: 64 };
  await withLane(
    spec,
    async (lane) => {
      const report = await lane.handlers.openSession(spec);
      const device = lane.blockDevice(report.session);
      const { pool, reactor } = lane.memory;
      const ground = { device, pool, arena: reactor.arena };
      if (options.write) await refuseUsed(ground, report, options.yes);
      const url = formatTargetUrl(parseTargetUrl(options.url));
      if (!options.json) process.stdout.write(`${describeUnit(url, report)}\n\n`);
      const results = await runAll(ground, workloads(options.write), options.seconds);
      process.stdout.write(
        options.json
          ? `${JSON.stringify(benchDocument(url, report, options.seconds, results), undefined, 2)}\n`
          : describeBench(results),
      );
    },
    size,
  );
}

async function runAll(
  ground: LoadGround,
  all: readonly Workload[],
  seconds: number,
): Promise<LoadResult[]> {
  const results: LoadResult[] = [];
  const measureMs = seconds * 1000;
  const warmUpMs = Math.min(measureMs * warmUpShare, longestWarmUpMs);
  const line = new ProgressLine(process.stderr, all.length * (warmUpMs + measureMs));
  for (const workload of all) {
    const load = new Load(ground, workload);
    const timer = setInterval(() => {
      line.show(workloadName(workload), load.requests);
    }, progressIntervalMs);
    try {
      results.push(await load.run(warmUpMs, measureMs));
    } finally {
      clearInterval(timer);
      line.clear();
    }
  }
  return results;
}

/** Throws unless the unit can be written and shows no sign of use, or `yes`. */
async function refuseUsed(ground: LoadGround, report: SessionReport, yes: boolean): Promise<void> {
  const { sizeBytes, readOnly } = report.geometry;
  if (readOnly) throw new CodedError('bench-read-only', 'the logical unit is write protected');
  if (yes) return;
  const length = Math.min(edgeBytes, sizeBytes);
  const found = findSignatures(
    await readRange(ground, 0, length),
    await readRange(ground, sizeBytes - length, length),
  );
  if (found.length === 0) return;
  throw new CodedError(
    'bench-in-use',
    `the logical unit holds ${found.join(', ')}; --write would destroy it (--yes does so all the same)`,
  );
}

function describeUnit(url: string, { vendor, product, geometry }: SessionReport): string {
  const mebibytes = Math.round(geometry.sizeBytes / 2 ** 20);
  return `${url}: ${vendor} ${product}, ${mebibytes} MiB`;
}
