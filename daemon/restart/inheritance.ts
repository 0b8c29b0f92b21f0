/**
 * Descriptors that outlive a daemon: the next one gets them by name, through the service manager's fd store (sd_notify(3), FDSTORE) or
 * across execve(2). A name says what it is; whether it may be used is for the device's record to say.
 */
import type { System } from '../system.ts';

/** Across execve(2): "name=fd,name=fd". */
const environmentVariable = 'ISERD_INHERITED_FDS';
const entryPattern = /(?<=^|,)([^=,]+)=(\d+)(?=,|$)/g;

/** sd_listen_fds(3). */
const listenVariables = ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES'] as const;

/** Names of descriptors that are ours; a service manager's list has others too. */
const ours = /^(nbd\d+-\d+|lock-[0-9a-f]+)$/;

/** Socket `lane` of /dev/nbd`index`: our end. */
export function socketName(index: number, lane: number): string {
  return `nbd${index}-${lane}`;
}

export function isInheritedName(name: string): boolean {
  return ours.test(name);
}

/** What this process was started with. */
export class Inheritance {
  readonly #fds = new Map<string, number>();
  readonly #calls: Pick<System, 'closeFd' | 'sdNotify' | 'shutdownFd'>;

  constructor(
    passed: ReadonlyMap<string, number>,
    calls: Pick<System, 'closeFd' | 'sdNotify' | 'shutdownFd'>,
  ) {
    for (const [name, fd] of passed) this.#fds.set(name, fd);
    this.#calls = calls;
  }

  /** Takes note of everything that was passed, by either way, and keeps it from being passed on unasked. */
  static ofThisProcess(
    calls: Pick<System, 'closeFd' | 'listenFds' | 'sdNotify' | 'shutdownFd'>,
    environment: NodeJS.ProcessEnv = process.env,
  ): Inheritance {
    const passed = passedByExecve(environment);
    Reflect.deleteProperty(environment, environmentVariable);
    for (const { name, fd } of calls.listenFds()) if (isInheritedName(name)) passed.set(name, fd);
    return new Inheritance(passed, calls);
  }

  /**
   * The descriptor of that name, from now on the caller's; undefined when there is none. The service manager forgets its copy: it
   * would hide our end from the peer.
   */
  take(name: string): number | undefined {
    const fd = this.#fds.get(name);
    if (fd === undefined) return undefined;
    this.#fds.delete(name);
    this.#calls.sdNotify(`FDSTOREREMOVE=1\nFDNAME=${name}`);
    return fd;
  }

  /** Ends what nobody has taken: the kernel sees that its sockets are dead. */
  discard(): void {
    for (const name of [...this.#fds.keys()]) {
      const fd = this.take(name);
      if (fd === undefined) continue;
      if (!name.startsWith('lock-')) this.#calls.shutdownFd(fd);
      this.#calls.closeFd(fd);
    }
  }
}

/** Descriptors that execve(2) has passed on: the launcher must do so too when it executes itself. */
export function passedByExecve(environment: NodeJS.ProcessEnv = process.env): Map<string, number> {
  const passed = new Map<string, number>();
  for (const [, name, fd] of (environment[environmentVariable] ?? '').matchAll(entryPattern))
    if (isInheritedName(name)) passed.set(name, Number(fd));
  return passed;
}

/** What this process leaves to the next one. */
export class Legacy {
  readonly #fds = new Map<string, number>();

  /** `fd` stays open until this process ends. */
  add(name: string, fd: number): void {
    this.#fds.set(name, fd);
  }

  /** Takes something back. */
  take(name: string): number | undefined {
    const fd = this.#fds.get(name);
    this.#fds.delete(name);
    return fd;
  }

  /** Gives the service manager a copy of everything. False when there is none: all of it goes with this process. */
  store(calls: Pick<System, 'sdNotify'>): boolean {
    let stored = this.#fds.size > 0;
    for (const [name, fd] of this.#fds)
      stored = calls.sdNotify(`FDSTORE=1\nFDNAME=${name}`, [fd]) && stored;
    return stored;
  }

  /** Becomes `program`, which inherits everything. Returns only by throwing. */
  execute(
    calls: Pick<System, 'execute'>,
    program: string,
    argv: readonly string[],
    environment: NodeJS.ProcessEnv = process.env,
  ): never {
    environment[environmentVariable] = [...this.#fds]
      .map(([name, fd]) => `${name}=${fd}`)
      .join(',');
    // What the service manager passed to this process is not there any more under its number.
    for (const name of listenVariables) Reflect.deleteProperty(environment, name);
    return calls.execute(program, argv, [...this.#fds.values()]);
  }
}
