/** What the figures were measured on and with. */
import { cpus, release, totalmem } from 'node:os';
import { run } from '../helpers/programs.ts';

export interface Machine {
  /** "QEMU guest, accelerator tcg" */
  readonly kind: string;
  readonly cpu: string;
  readonly cpuCount: number;
  readonly memoryMebibytes: number;
  readonly kernel: string;
  /** Of the tree that iserd comes from, "+" with changes that are not committed. */
  readonly commit: string;
  readonly versions: Readonly<Record<string, string>>;
}

const debianPackages = [
  ...['qemu-utils', 'qemu-block-extra', 'libiscsi7', 'open-iscsi', 'tgt', 'fio'],
  ...['rdma-core', 'libibverbs1', 'gcc'],
];

export async function describeMachine(kind: string, commit: string): Promise<Machine> {
  const all = cpus();
  return {
    kind,
    cpu: all[0].model.trim(),
    cpuCount: all.length,
    memoryMebibytes: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    commit,
    versions: { node: process.versions.node, ...(await packageVersions()) },
  };
}

/** Of the packages that are installed; it is no error that one is not. */
async function packageVersions(): Promise<Record<string, string>> {
  const format = '${db:Status-Abbrev}\t${Package}\t${Version}\n';
  const { stdout } = await run('dpkg-query', ['-W', '-f', format, ...debianPackages]);
  const lines = stdout.split('\n').filter((line) => line.startsWith('ii'));
  return Object.fromEntries(lines.map((line) => line.split('\t').slice(1) as [string, string]));
}

export async function currentCommit(): Promise<string> {
  const { code, stdout } = await run('git', ['describe', '--always', '--dirty=+']);
  return code === 0 ? stdout.trim() : 'unknown';
}
