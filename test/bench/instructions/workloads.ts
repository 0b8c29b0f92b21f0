import { workloadName, type Pattern, type Workload } from '../workload.ts';

const kibibyte = 2 ** 10;
const large = 256 * kibibyte;

/** One request in flight, many, and large ones. */
const all: readonly Workload[] = [
  ...pair('rand', 4 * kibibyte, 1),
  ...pair('rand', 4 * kibibyte, 32),
  ...pair('', large, 8),
];

function pair(order: 'rand' | '', blockSize: number, depth: number): Workload[] {
  const patterns: Pattern[] = [`${order}read`, `${order}write`];
  return patterns.map((pattern) => ({ pattern, blockSize, depth }));
}

export function workloadsWith(word: string): Workload[] {
  return all.filter((workload) => workloadName(workload).includes(word));
}

/** A large request costs as much as many small ones, most of it copying. */
export function requestsOf({ blockSize }: Workload, requests: number): number {
  return blockSize === large ? Math.ceil(requests / 10) : requests;
}
