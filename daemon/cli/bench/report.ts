/** What `iserctl bench` shows: a table, a JSON document, and a line of progress meanwhile. */
import { formatSize } from '../../config/size.ts';
import type { SessionReport } from '../../lane/messages.ts';
import type { LoadResult, Workload } from './load.ts';
import { formatTable } from '../table.ts';

/** "4 KiB random read, depth 32". */
export function workloadName({ operation, order, blockBytes, depth }: Workload): string {
  return `${formatSize(blockBytes)} ${order} ${operation}, depth ${depth}`;
}

const iopsOf = ({ requests, seconds }: LoadResult): number =>
  requests === 0 ? 0 : requests / seconds;

/** Latencies in milliseconds. */
export function describeBench(results: readonly LoadResult[]): string {
  const rows = results.map((result) => {
    const { workload, latency } = result;
    const iops = iopsOf(result);
    return [
      workloadName(workload),
      Number(iops.toFixed(iops < 100 ? 1 : 0)),
      Number(((iops * workload.blockBytes) / 2 ** 20).toFixed(1)),
      ...[latency.quantile(0.5), latency.quantile(0.99), latency.maximum].map((microseconds) =>
        milliseconds(microseconds),
      ),
    ];
  });
  const header = ['WORKLOAD', 'IOPS', 'MiB/s', 'p50 ms', 'p99 ms', 'max ms'];
  return `${formatTable(header, rows)}\n`;
}

function milliseconds(microseconds: number): number {
  return Number((microseconds / 1000).toFixed(microseconds < 10_000 ? 3 : 1));
}

/** For scripts; `url` bears no secret. */
export function benchDocument(
  url: string,
  report: SessionReport,
  secondsEach: number,
  results: readonly LoadResult[],
): unknown {
  return {
    url,
    identity: report.identity,
    sizeBytes: report.geometry.sizeBytes,
    secondsEach,
    workloads: results.map((result) => ({
      ...result.workload,
      requests: result.requests,
      seconds: result.seconds,
      iops: iopsOf(result),
      bytesPerSecond: iopsOf(result) * result.workload.blockBytes,
      latencyMicroseconds: {
        mean: result.latency.mean,
        p50: result.latency.quantile(0.5),
        p99: result.latency.quantile(0.99),
        max: result.latency.maximum,
      },
    })),
  };
}

const barWidth = 30;

/** One line that is written over and over; nothing where there is no terminal. */
export class ProgressLine {
  readonly #stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;
  readonly #totalMs: number;
  readonly #now: () => number;
  readonly #startedMs: number;

  constructor(
    stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>,
    totalMs: number,
    now: () => number = () => performance.now(),
  ) {
    this.#stream = stream;
    this.#totalMs = totalMs;
    this.#now = now;
    this.#startedMs = now();
  }

  show(what: string, requests: number): void {
    if (!this.#stream.isTTY) return;
    const share = Math.min(1, (this.#now() - this.#startedMs) / this.#totalMs);
    const filled = Math.round(share * barWidth);
    const bar = `${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}`;
    const percent = String(Math.floor(share * 100)).padStart(3);
    this.#stream.write(`\r\u001b[K[${bar}] ${percent} %  ${what}: ${requests} requests`);
  }

  clear(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\u001b[K');
  }
}
