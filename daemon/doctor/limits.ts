/** Limits and capabilities of a process: the running daemon's, or else our own, which a daemon started from here would have. */
import { formatSize } from '../config/size.ts';
import { note, ok, wanted, wrong, type Finding, type Wants } from './finding.ts';
import type { Machine } from './machine.ts';

export interface Subject {
  /** A process id, or "self". */
  readonly process: string;
  /** For messages: "iserd (process 17)". */
  readonly name: string;
}

export interface Demand {
  readonly pinLimitBytes: number;
  readonly hugePages: boolean;
  readonly arenaBytes: number;
  /** Clients that the configuration lets in, all volumes together. */
  readonly clients: number;
}

interface Capability {
  readonly name: string;
  /** In capabilities(7). */
  readonly number: bigint;
  readonly consequence: string;
  readonly isNeeded: boolean;
}

const ipcLock = 14n;
const capabilities: readonly Capability[] = [
  {
    name: 'CAP_SYS_ADMIN',
    number: 21n,
    consequence: 'kernel devices cannot be attached',
    isNeeded: true,
  },
  {
    name: 'CAP_SYS_RESOURCE',
    number: 24n,
    consequence: 'memory reclaim may wait for the daemon itself',
    isNeeded: false,
  },
];
/** What a lane needs to serve anything over RDMA. */
const leastPinnedBytes = 8 * 2 ** 20;
/** Beside clients: programs, sessions, lanes, devices. */
const ownDescriptors = 256;

export function checkLimits(
  machine: Machine,
  wants: Wants,
  subject: Subject,
  demand: Demand,
): Finding[] {
  const limits = machine.read(`/proc/${subject.process}/limits`);
  const status = machine.read(`/proc/${subject.process}/status`);
  if (limits === undefined || status === undefined) {
    return [note(`limits of ${subject.name} cannot be read`, 'run as root')];
  }
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const has = (number: bigint): boolean => ((effective >> number) & 1n) === 1n;
  return [
    checkPinning(wants, subject, demand, has(ipcLock) ? Infinity : soft(limits, 'locked memory')),
    checkDescriptors(subject, demand, soft(limits, 'open files')),
    ...checkCapabilities(wants, subject, has),
    ...checkHugePages(machine, demand),
  ];
}

/** A line of proc_pid_limits(5); Infinity: no limit. */
function soft(limits: string, what: string): number {
  const value = new RegExp(`^Max ${what}\\s+(\\S+)`, 'm').exec(limits)?.[1];
  return value === undefined || value === 'unlimited' ? Infinity : Number(value);
}

function checkPinning({ iser }: Wants, { name }: Subject, demand: Demand, bytes: number): Finding {
  if (bytes === Infinity) return ok(`${name} may lock and pin as much memory as it likes`);
  const cure = 'LimitMEMLOCK=infinity in the service, ulimit -l unlimited in a shell';
  const message = `${name} may pin only ${formatSize(bytes)} (RLIMIT_MEMLOCK)`;
  if (bytes < leastPinnedBytes) {
    return wanted(iser, `${message}: too little for RDMA`, cure);
  }
  if (bytes < demand.pinLimitBytes) {
    return note(`${message}, less than pin_limit (${formatSize(demand.pinLimitBytes)})`, cure);
  }
  return ok(message.replace('only ', ''));
}

function checkDescriptors({ name }: Subject, { clients }: Demand, count: number): Finding {
  const needed = ownDescriptors + clients;
  if (count >= needed) return ok(`${name} may open ${count} files (RLIMIT_NOFILE)`);
  return note(
    `${name} may open ${count} files (RLIMIT_NOFILE), and ${clients} NBD clients are allowed`,
    `LimitNOFILE=${needed} in the service, or a smaller [limits] clients`,
  );
}

function checkCapabilities(
  { device }: Wants,
  { name }: Subject,
  has: (number: bigint) => boolean,
): Finding[] {
  if (!device) return [];
  const missing = capabilities.filter(({ number }) => !has(number));
  if (missing.length === 0) return [ok(`${name} has the capabilities that kernel devices need`)];
  return missing.map((capability) => {
    const message = `${name} lacks ${capability.name}: ${capability.consequence}`;
    const cure = `run as root with ${capability.name}, or with AmbientCapabilities=${capability.name} in the service`;
    return capability.isNeeded ? wrong(message, cure) : note(message, cure);
  });
}

function checkHugePages(machine: Machine, demand: Demand): Finding[] {
  if (!demand.hugePages) return [];
  const memory = machine.read('/proc/meminfo') ?? '';
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(memory)?.[1] ?? 0);
  const pageBytes = field('Hugepagesize') * 1024;
  const free = field('HugePages_Free');
  const needed = pageBytes === 0 ? 0 : Math.ceil(demand.arenaBytes / pageBytes);
  if (needed > 0 && free >= needed) {
    return [ok(`${free} huge pages are free, a lane needs ${needed}`)];
  }
  const message = `huge_pages is configured, but ${free} are free and a lane needs ${needed}`;
  return [
    wrong(message, `sysctl vm.nr_hugepages=${needed} (for each lane), or huge_pages = false`),
  ];
}
