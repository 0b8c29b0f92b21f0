import type { ChildProcess } from 'node:child_process';
import type { Disk } from '../fio.ts';

export type Transport = 'iSER' | 'TCP';
/** epoll: servers/epoll-nbd.c. */
export type ServerName = 'iserd' | 'qemu-nbd' | 'open-iscsi' | 'epoll';

/** Logical units as disks of this machine, in the order of their URLs. */
export interface Server {
  readonly disks: readonly Disk[];
  /** Processes that serve; none when the kernel does. */
  readonly pids: readonly number[];
  /** What it has complained of so far; '' is what one hopes for. */
  complaints(): string;
  /** Only on the host: what runs in the guest ends with it. */
  stop?(): Promise<void>;
}

export interface Volumes {
  /** One logical unit each: iser://… or iscsi://… */
  readonly urls: readonly string[];
  readonly initiatorName: string;
  /** For sockets and configurations. */
  readonly directory: string;
  /** Part of file and volume names, for there may be several servers of a kind. */
  readonly tag: string;
  /** The kernel devices to serve them as, one for each URL (who serves through nbd); absent: Unix sockets. */
  readonly nbdDevices?: readonly string[];
}

/** Logins of emulated guests take seconds each. */
export const startTimeoutMs = 180_000;

/** What a child says on standard error. */
export function collectStderr(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    // The first words of a program that repeats itself say why.
    if (text.length < 8192) text += chunk.toString();
  });
  return () => text.trim();
}
