/**
 * What the data path leaves to the garbage collector, and what a request costs in CPU time, per workload: fio's nbd engine on a
 * lane that has a null device (the NBD side alone) and on one with a session to tgt over TCP.
 *
 *   node --import tsx test/bench/garbage.ts [--seconds 10] [--rounds 1] [--tree NAME=DIRECTORY]... [--only WORD] [--device null|tgt]
 *
 * Several trees (checkouts whose addon is built) are measured in turn, workload by workload.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from '../../daemon/cli/table.ts';
import { repository } from '../helpers/programs.ts';
import { Tgt } from '../helpers/tgt.ts';
import { waitForSocket } from '../helpers/wait.ts';
import { measure } from './fio.ts';
import { LaneProcess, withoutCollections, type Meters } from './lane-process.ts';
import { resultsDirectory } from './results.ts';
import { workloadName, type Workload } from './workload.ts';

/** The last 256 MiB of 1 TiB: positions that are no small integers to V8, as on any real volume. */
const sizeBytes = 2 ** 40;
const range = { size: '256m', offset: String(sizeBytes - 256 * 2 ** 20) };
const workloads: readonly Workload[] = [
  { pattern: 'randread', blockSize: 4096, depth: 32 },
  { pattern: 'randwrite', blockSize: 4096, depth: 32 },
  { pattern: 'randrw', blockSize: 4096, depth: 32 },
  { pattern: 'read', blockSize: 262_144, depth: 8 },
  { pattern: 'write', blockSize: 262_144, depth: 8 },
];

interface Row {
  readonly tree: string;
  readonly device: string;
  readonly workload: string;
  readonly requests: number;
  readonly iops: number;
  readonly scavengesPerMillion: number;
  readonly markCompactsPerMillion: number;
  readonly bytesPerRequest: number;
  readonly userMicrosecondsPerRequest: number;
  readonly systemMicrosecondsPerRequest: number;
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    tree: { type: 'string', multiple: true, default: [`here=${repository}`] },
    only: { type: 'string', default: '' },
    device: { type: 'string', default: '' },
    rounds: { type: 'string', default: '1' },
  },
});
const seconds = Number(values.seconds);
const trees = values.tree.map((tree) => {
  const [name, path] = tree.split('=');
  return { name, path };
});
// Disks would have their say otherwise.
process.env['TMPDIR'] ??= '/dev/shm';
const directory = mkdtempSync(join(tmpdir(), 'iserd-garbage-'));
let lanes = 0;

/** The difference that one workload makes, after a warm-up in which the code gets optimized. */
async function difference(
  options: { tree: string; url: string | undefined; execArgv?: readonly string[] },
  workload: Workload,
): Promise<Meters & { iops: number }> {
  const socketPath = join(directory, `lane${lanes++}`);
  const { tree, url, execArgv } = options;
  const lane = await LaneProcess.start({
    tree,
    socketPath,
    ...(execArgv === undefined ? {} : { execArgv }),
    ...(url === undefined ? {} : { url }),
  });
  try {
    await waitForSocket(socketPath);
    const disks = [{ uri: `nbd+unix:///?socket=${socketPath}` }];
    await measure(disks, workload, { seconds: 3, ...range });
    const before = await lane.meters();
    const { iops } = await measure(disks, workload, { seconds, ...range });
    const after = await lane.meters();
    return {
      iops,
      requests: after.requests - before.requests,
      scavenges: after.scavenges - before.scavenges,
      markCompacts: after.markCompacts - before.markCompacts,
      heapUsedBytes: after.heapUsedBytes - before.heapUsedBytes,
      userMicroseconds: after.userMicroseconds - before.userMicroseconds,
      systemMicroseconds: after.systemMicroseconds - before.systemMicroseconds,
    };
  } finally {
    await lane.close();
  }
}

async function row(
  tree: { readonly name: string; readonly path: string },
  device: string,
  url: string | undefined,
  workload: Workload,
): Promise<Row> {
  const ordinary = await difference({ tree: tree.path, url }, workload);
  const roomy = await difference({ tree: tree.path, url, execArgv: withoutCollections }, workload);
  if (roomy.scavenges + roomy.markCompacts > 0)
    throw new Error(`${workloadName(workload)}: something was collected: ${JSON.stringify(roomy)}`);
  const millions = ordinary.requests / 1e6;
  return {
    tree: tree.name,
    device,
    workload: workloadName(workload),
    requests: ordinary.requests,
    iops: Math.round(ordinary.iops),
    scavengesPerMillion: ordinary.scavenges / millions,
    markCompactsPerMillion: ordinary.markCompacts / millions,
    bytesPerRequest: roomy.heapUsedBytes / roomy.requests,
    userMicrosecondsPerRequest: ordinary.userMicroseconds / ordinary.requests,
    systemMicrosecondsPerRequest: ordinary.systemMicroseconds / ordinary.requests,
  };
}

const tgt = await Tgt.start({ luns: [{ sizeBytes }], swift: true });
const rows: Row[] = [];
try {
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [device, url] of [
      ['null', undefined],
      ['tgt, TCP', tgt.urls[0]],
    ] as const) {
      if (!device.startsWith(values.device)) continue;
      for (const workload of workloads) {
        if (!workloadName(workload).includes(values.only)) continue;
        for (const tree of trees) {
          const measured = await row(tree, device, url, workload);
          console.error(JSON.stringify(measured));
          rows.push(measured);
        }
      }
    }
} finally {
  await tgt.stop();
  rmSync(directory, { recursive: true });
}

console.log(
  formatTable(
    [
      ...(trees.length > 1 ? ['build'] : []),
      'device',
      'workload',
      'requests',
      'scavenges / million',
      'mark-compacts / million',
      'heap bytes / request',
      'CPU us / request (user + system)',
    ],
    rows.map((measured) => [
      ...(trees.length > 1 ? [measured.tree] : []),
      measured.device,
      measured.workload,
      measured.requests,
      measured.scavengesPerMillion.toFixed(1),
      measured.markCompactsPerMillion.toFixed(1),
      measured.bytesPerRequest.toFixed(2),
      `${measured.userMicrosecondsPerRequest.toFixed(1)} + ${measured.systemMicrosecondsPerRequest.toFixed(1)}`,
    ]),
  ),
);
writeFileSync(
  `${resultsDirectory()}/garbage.json`,
  `${JSON.stringify({ seconds, rows }, undefined, 2)}\n`,
);
