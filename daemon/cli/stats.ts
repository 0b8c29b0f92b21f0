import { callControl } from '../control/client.ts';
import { statsSchema, type Stats, type VolumeStats } from '../control/statistics-schema.ts';
import { counterNames } from '../statistics/totals.ts';
import { Histogram } from '../../src/histogram.ts';
import { latencyKinds } from '../../src/nbd/latencies.ts';
import { describeActivity, describeVolume } from './describe-stats.ts';
import { controlSocketOption, defineCommand, jsonOption, watchOption } from './options.ts';
import { standardOutput } from './terminal.ts';
import { watch } from './watch.ts';

export const statsCommand = defineCommand({
  command: 'stats [volume]',
  describe: 'how long requests take, what was counted, what went wrong and why',
  builder: (builder) =>
    builder
      .positional('volume', { type: 'string', describe: 'default: all, without charts' })
      .options({ ...controlSocketOption, ...jsonOption, ...watchOption })
      .example('$0 stats data', 'latencies as percentiles and as a chart, counts, errors')
      .example('$0 stats data --watch', 'of the last second, every second'),
  handler: (options) => printStats(options),
});

interface StatsOptions {
  readonly volume: string | undefined;
  readonly socket: string;
  readonly json: boolean;
  readonly watch: boolean;
}

async function printStats({ volume, socket, json, watch: again }: StatsOptions): Promise<void> {
  const terminal = standardOutput();
  const ask = async (): Promise<Stats> =>
    statsSchema.parse(await callControl(socket, 'stats', volume === undefined ? {} : { volume }));
  const show = (stats: Stats, seconds: number | undefined): string => {
    if (json) return `${JSON.stringify(toJson(stats), undefined, again ? undefined : 2)}\n`;
    const withChart = volume !== undefined || stats.volumes.length === 1;
    const texts = stats.volumes.map((each) =>
      seconds === undefined
        ? describeVolume(each, withChart, terminal)
        : describeActivity(each, seconds, withChart, terminal),
    );
    return texts.length === 0 ? 'no volumes\n' : texts.join('\n');
  };
  if (!again) {
    process.stdout.write(show(await ask(), undefined));
    return;
  }
  let before: Stats | undefined;
  await watch(json ? { ...terminal, isTty: false } : terminal, async () => {
    const now = await ask();
    const picture =
      before === undefined || json
        ? show(now, undefined)
        : show(sinceThen(now, before), (now.atMs - before.atMs) / 1000);
    before = now;
    return picture;
  });
}

/** What happened between two answers. A volume that was started anew in between has counted from zero. */
export function sinceThen(now: Stats, before: Stats): Stats {
  const volumes = now.volumes.map((volume) => {
    const earlier = before.volumes.find(({ name }) => name === volume.name);
    if (earlier === undefined || counterNames.some((name) => volume[name] < earlier[name]))
      return volume;
    return subtract(volume, earlier);
  });
  return { ...now, volumes };
}

function subtract(volume: VolumeStats, earlier: VolumeStats): VolumeStats {
  const difference = { ...volume, latencies: { ...volume.latencies } };
  for (const name of counterNames) difference[name] -= earlier[name];
  difference.errorsByReason = Object.fromEntries(
    Object.entries(volume.errorsByReason).map(([reason, count]) => [
      reason,
      count - (earlier.errorsByReason[reason] ?? 0),
    ]),
  );
  for (const kind of latencyKinds) {
    const histogram = Histogram.of(volume.latencies[kind]);
    histogram.subtract(earlier.latencies[kind]);
    const { buckets, counts, sumMicroseconds, maximumMicroseconds } = histogram.snapshot();
    const copy = { buckets: [...buckets], counts: [...counts] };
    difference.latencies[kind] = { ...copy, sumMicroseconds, maximumMicroseconds };
  }
  return difference;
}

/** With percentiles, and with the ends of buckets instead of their numbers. */
function toJson(stats: Stats): unknown {
  const volumes = stats.volumes.map(({ latencies, ...counts }) => ({
    ...counts,
    latencies: Object.fromEntries(
      latencyKinds.map((kind) => [kind, latencyJson(Histogram.of(latencies[kind]))]),
    ),
  }));
  return { ...stats, volumes };
}

function latencyJson(histogram: Histogram): unknown {
  return {
    count: histogram.count,
    meanMicroseconds: histogram.mean,
    p50Microseconds: histogram.quantile(0.5),
    p90Microseconds: histogram.quantile(0.9),
    p99Microseconds: histogram.quantile(0.99),
    p999Microseconds: histogram.quantile(0.999),
    p9999Microseconds: histogram.quantile(0.9999),
    maximumMicroseconds: histogram.maximum,
    buckets: histogram.ranges(),
  };
}
