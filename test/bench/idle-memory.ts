/**
 * What servers occupy that have nothing to do: one iserd daemon with one volume and with many, beside as many processes of qemu-nbd
 * on the same units of tgt, over TCP, behind Unix sockets without a client.
 *
 *   node --import tsx test/bench/idle-memory.ts [--volumes 64] [--rounds 3] [--settle 10]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Tgt } from '../helpers/tgt.ts';
import { spreadText } from './figures.ts';
import { residentMemory, type ResidentMemory } from './idle-memory-smaps.ts';
import { currentCommit, describeMachine } from './machine.ts';
import { resultsDirectory } from './results.ts';
import { startIserd } from './servers/iserd.ts';
import { startQemuNbd } from './servers/qemu-nbd.ts';
import { spread } from './summary.ts';
import { markdownTable } from './table.ts';

const { values } = parseArgs({
  options: {
    volumes: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    settle: { type: 'string', default: '10' },
  },
});
const many = Number(values.volumes);
const rounds = Number(values.rounds);
/** Allocators give back, some seconds later, what the start has needed. */
const settleSeconds = Number(values.settle);

const starters = { iserd: startIserd, 'qemu-nbd': startQemuNbd };
type Name = keyof typeof starters;
const names = Object.keys(starters) as Name[];
const counts = [1, many];
const sizeBytes = 64 * 2 ** 20;
const mebibyte = 2 ** 20;

interface Sample extends ResidentMemory {
  readonly server: Name;
  readonly volumes: number;
  readonly processes: number;
  readonly round: number;
}

const samples: Sample[] = [];
const directory = mkdtempSync(join(tmpdir(), 'iserd-idle-'));
const tgt = await Tgt.start({ luns: Array.from({ length: many }, () => ({ sizeBytes })) });

async function sampleOf(server: Name, volumes: number, round: number): Promise<Sample> {
  const running = await starters[server]({
    urls: tgt.urls.slice(0, volumes),
    initiatorName: 'iqn.2026-11.test:idle',
    directory,
    tag: `${volumes}-${round}`,
  });
  try {
    await delay(settleSeconds * 1000);
    const { pids } = running;
    return { server, volumes, processes: pids.length, round, ...residentMemory(pids) };
  } finally {
    await running.stop?.();
  }
}

try {
  for (let round = 1; round <= rounds; round++)
    for (const volumes of counts)
      for (const server of names) {
        const sample = await sampleOf(server, volumes, round);
        console.error(JSON.stringify(sample));
        samples.push(sample);
      }
} finally {
  await tgt.stop();
  rmSync(directory, { recursive: true });
}

const rows = counts.flatMap((volumes) =>
  names.map((server) => {
    const own = samples.filter((each) => each.server === server && each.volumes === volumes);
    return {
      server,
      volumes,
      processes: own[0].processes,
      rssBytes: spread(own.map(({ rssBytes }) => rssBytes)),
      pssBytes: spread(own.map(({ pssBytes }) => pssBytes)),
    };
  }),
);
const ratios = counts.map((volumes) => {
  const [ours, theirs] = rows.filter((row) => row.volumes === volumes);
  return {
    volumes,
    rss: ours.rssBytes.median / theirs.rssBytes.median,
    pss: ours.pssBytes.median / theirs.pssBytes.median,
  };
});

console.log(
  markdownTable(
    ['server', 'volumes', 'processes', 'RSS, MiB', 'PSS, MiB'],
    rows.map(({ server, volumes, processes, rssBytes, pssBytes }) => [
      ...[server, `${volumes}`, `${processes}`],
      ...[spreadText(rssBytes, mebibyte), spreadText(pssBytes, mebibyte)],
    ]),
  ),
);
for (const { volumes, rss, pss } of ratios)
  console.log(`iserd / qemu-nbd, ${volumes} idle: RSS ${rss.toFixed(2)}, PSS ${pss.toFixed(2)}`);

const machine = await describeMachine('this machine itself', await currentCommit());
const date = new Date().toISOString();
writeFileSync(
  join(resultsDirectory(), 'idle-memory.json'),
  `${JSON.stringify({ date, machine, rounds, settleSeconds, rows, ratios, samples }, undefined, 2)}\n`,
);
