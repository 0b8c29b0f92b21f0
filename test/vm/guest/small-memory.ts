/** Makes memory scarce: for the whole machine, and for a group of processes. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { availableMemory } from './process-memory.ts';

const hugePages = '/proc/sys/vm/nr_hugepages';
const hugePageBytes = 2 * 2 ** 20;
const cgroups = '/sys/fs/cgroup';

/** Leaves the machine about this many bytes: the rest becomes huge pages, which nobody uses and the kernel cannot take back. */
export function leaveMemory(bytes: number): void {
  // What is scattered is not had at once.
  for (let attempt = 0; attempt < 8; attempt++) {
    const surplus = availableMemory() - bytes;
    if (surplus < hugePageBytes) return;
    const reserved = Number(readFileSync(hugePages, 'utf8'));
    writeFileSync('/proc/sys/vm/compact_memory', '1');
    writeFileSync(hugePages, String(reserved + Math.floor(surplus / hugePageBytes)));
  }
}

export function giveMemoryBack(): void {
  writeFileSync(hugePages, '0');
}

/** A memory cgroup (v2). */
export class MemoryGroup {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  static async make(name: string): Promise<MemoryGroup> {
    await runOk('sh', [
      '-c',
      `mountpoint -q ${cgroups} || mount -t cgroup2 none ${cgroups}
      echo '+memory +io' >${cgroups}/cgroup.subtree_control`,
    ]);
    const path = join(cgroups, name);
    mkdirSync(path);
    return new MemoryGroup(path);
  }

  /** Command line that executes the one after it within the group. */
  get wrapper(): string[] {
    return ['sh', '-c', `echo $$ >${this.#path}/cgroup.procs && exec "$@"`, 'sh'];
  }

  get currentBytes(): number {
    return Number(this.#read('memory.current'));
  }

  limit(bytes: number): void {
    writeFileSync(join(this.#path, 'memory.max'), String(bytes));
  }

  /** How often its limit has been met, and how many processes it has cost. */
  get events(): { readonly max: number; readonly killed: number } {
    const events = this.#read('memory.events');
    const count = (name: string): number =>
      Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(events)?.[1]);
    return { max: count('max'), killed: count('oom_kill') };
  }

  /** After its last process. */
  async remove(): Promise<void> {
    await waitUntil('the cgroup is empty', () => this.#read('cgroup.procs') === '');
    rmdirSync(this.#path);
  }

  #read(file: string): string {
    return readFileSync(join(this.#path, file), 'utf8');
  }
}
