import { readdirSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { laneAnswerMs } from '../control/status.ts';
import type { StatisticsSampler } from '../statistics/sampler.ts';
import type { Supervisor } from '../supervisor.ts';
import { iserdVersion } from '../version.ts';
import type { MetricsEndpoint, MetricsPlace } from './endpoint.ts';
import { volumesAndLanes, type DaemonSnapshot } from './snapshot.ts';

/** Opens the endpoint that the configuration asks for; undefined: none. Rejects with a CodedError that names the place. */
export async function openMetrics(
  config: Config['metrics'],
  supervisor: Pick<Supervisor, 'volumes'>,
  sampler: StatisticsSampler,
): Promise<MetricsEndpoint | undefined> {
  const place = placeOf(config);
  if (place === undefined) return undefined;
  // Neither is loaded where nobody wants metrics.
  const [endpoints, { exposition }] = await Promise.all([
    import('./endpoint.ts'),
    import('./exposition.ts'),
  ]);
  const endpoint = new endpoints.MetricsEndpoint(async () => {
    await sampler.refresh(laneAnswerMs);
    return exposition({
      version: iserdVersion(),
      nodeVersion: process.version,
      process: processSnapshot(),
      ...volumesAndLanes(supervisor, sampler),
    });
  });
  await endpoint.listen(place);
  return endpoint;
}

function placeOf({ socket, group, listen }: Config['metrics']): MetricsPlace | undefined {
  if (socket !== undefined) return { socket, group };
  return listen === undefined ? undefined : { listen };
}

function processSnapshot(): DaemonSnapshot['process'] {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    // One of them is of the directory itself.
    openFds: readdirSync('/proc/self/fd').length - 1,
    startSeconds: performance.timeOrigin / 1000,
  };
}
