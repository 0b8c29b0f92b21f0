/** Measures the contenders in turn, in the guest: each one alone with the target, from its start to its end, on the same unit. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitUntil } from '../../helpers/wait.ts';
import { isAttached } from '../../vm/guest/block-device.ts';
import { Shell } from '../../vm/guest/shell.ts';
import type { Server, Transport } from '../servers/server.ts';
import { spread } from '../summary.ts';
import { workloadName, type Workload } from '../workload.ts';
import { contendersOf, type Contender } from './contenders.ts';
import type { Costs } from './counters.ts';
import { costsOf, type FixedWork } from './fixed-work.ts';
import type { InstructionOptions } from './options.ts';
import type { InstructionSample } from './samples.ts';
import { requestsOf, workloadsWith } from './workloads.ts';

const device = '/dev/nbd0';
const deviceMebibytes = 64;

/** Through all workloads after a server's start, not counted: only then have the compilers seen, and seen again, what they will. */
const warmUpRounds = 2;

/** In a row, of which the median counts: code is still compiled anew now and then. One more comes before them, not counted. */
const passes = 5;

export interface Listener {
  readonly onSample: (sample: InstructionSample) => void;
  readonly onTrouble: (trouble: string) => void;
}

interface Scene {
  readonly urls: ReadonlyMap<Transport, string>;
  readonly initiatorName: string;
  readonly directory: string;
}

export async function measureInstructions(
  options: InstructionOptions,
  listener: Listener,
): Promise<void> {
  const scene = await openScene();
  for (let round = 1; round <= options.rounds; round++) {
    for (const contender of contendersOf(options)) {
      const onTrouble = (trouble: string): void => {
        listener.onTrouble(`${contender.label}, round ${round}: ${trouble.trim()}`);
      };
      try {
        await measureContender(contender, options, scene, {
          onSample: (sample) => {
            listener.onSample({ server: contender.label, round, ...sample });
          },
          onTrouble,
        });
      } catch (error) {
        onTrouble((error as Error).message);
      }
    }
  }
}

async function openScene(): Promise<Scene> {
  const targets = new Shell('test/bench/guest-targets.sh');
  await targets.run(`bench_tgt_up 1 ${deviceMebibytes}`);
  const urls = new Map<Transport, string>();
  for (const transport of ['iSER', 'TCP'] as const) {
    const url = await targets.run(`bench_urls tgt ${transport.toLowerCase()} 1`);
    urls.set(transport, url.trim());
  }
  return {
    urls,
    initiatorName: await targets.variable('initiator_name'),
    directory: mkdtempSync(join(tmpdir(), 'iserd-bench-')),
  };
}

interface ContenderListener {
  readonly onSample: (sample: Omit<InstructionSample, 'server' | 'round'>) => void;
  readonly onTrouble: (trouble: string) => void;
}

async function measureContender(
  contender: Contender,
  options: InstructionOptions,
  { urls, initiatorName, directory }: Scene,
  listener: ContenderListener,
): Promise<void> {
  const { transport } = contender;
  const server = await contender.start({
    urls: [urls.get(transport) ?? ''],
    initiatorName,
    directory,
    tag: transport.toLowerCase(),
    nbdDevices: [device],
  });
  try {
    await measureServer(server, options, directory, listener.onSample);
  } finally {
    const complaints = server.complaints();
    if (complaints !== '') listener.onTrouble(complaints);
    await server.stop?.();
    await waitUntil(`${device} is free again`, () => !isAttached(device));
  }
}

async function measureServer(
  { pids }: Server,
  { requests, only }: InstructionOptions,
  directory: string,
  onSample: ContenderListener['onSample'],
): Promise<void> {
  const place = { device, deviceMebibytes, daemonPids: pids, directory };
  const work = (workload: Workload): FixedWork => ({
    ...workload,
    requests: requestsOf(workload, requests),
  });
  const everything = workloadsWith('').map(work);
  await costsOf(Array.from({ length: warmUpRounds }, () => everything).flat(), place);
  for (const workload of workloadsWith(only)) {
    const [, ...costs] = await costsOf(Array<FixedWork>(1 + passes).fill(work(workload)), place);
    onSample({ workload: workloadName(workload), passes: costs, ...medianOf(costs) });
  }
}

/** Of each figure by itself. */
function medianOf(costs: readonly Costs[]): Costs {
  return {
    daemon: spread(costs.map(({ daemon }) => daemon)).median,
    client: spread(costs.map(({ client }) => client)).median,
    machine: spread(costs.map(({ machine }) => machine)).median,
  };
}
