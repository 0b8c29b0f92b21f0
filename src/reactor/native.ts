/**
 * Everything the native addon offers, declared once. Nothing else in the project touches the `.node` file
 * (daemon/system.ts reaches the system calls through `loadNative().system`).
 *
 * TypeScript names memory by arena offset and native objects by number; no pointer crosses except `arena.base`, which
 * iSER must put on the wire as the tagged offset.
 */
import { createRequire } from 'node:module';

/** The shape of errors that native code throws. */
export interface NativeError extends Error {
  readonly code: string;
  readonly syscall?: string;
  readonly errno?: number;
}

export interface NativeArena {
  /** The whole arena; external memory, zero filled, never moved, unmapped only by `close` after every reactor is closed. */
  readonly buffer: ArrayBuffer;
  /** Virtual address of byte 0. */
  readonly base: bigint;
  /** Whether the kernel gave us huge pages. */
  readonly hugePages: boolean;
  /** Gives the pages of a page-aligned range back to the kernel; they read as zero afterwards. */
  discard(offset: number, length: number): void;
  close(): void;
}

export interface NativeRdmaParameters {
  readonly responderResources: number;
  readonly initiatorDepth: number;
  readonly retryCount: number;
  readonly rnrRetryCount: number;
  readonly privateData: Uint8Array;
}

export interface NativeQueuePairLimits {
  readonly sendDepth: number;
  readonly receiveDepth: number;
  readonly maxInline: number;
}

export interface NativeMemoryRegion {
  readonly id: number;
  readonly lkey: number;
  readonly rkey: number;
}

export interface NativeReactor {
  /** `capacity` submission entries of 12 uint32. */
  readonly submissions: Uint32Array;
  /** `capacity` completion entries of 8 uint32. */
  readonly completions: Uint32Array;
  /** `controlWords` uint32, read at any time. */
  readonly control: Uint32Array;
  /** Carries out the first `count` submission entries. Failures come back as completions, never as exceptions. */
  submit(count: number): void;
  /** Takes ownership of a connected stream socket fd; makes it non-blocking. */
  openStream(fd: number): number;
  /** Starts a TCP connect to a numeric address; completes with `connect`. Sets TCP_NODELAY. */
  connectStream(address: string, port: number): number;
  /** Takes ownership of a listening fd; `accept` completions follow until it is closed. */
  openListener(fd: number): number;
  /** Closes any object. No completion for it is reported afterwards and its memory is no longer touched (QPs destroyed). */
  closeObject(object: number): void;
  /** A descriptor may have become free in the process: listeners that lacked one try again. */
  descriptorFreed(): void;
  /** Waits (off the event loop's turn, level 0 ms) at most `timeoutMs` for the loop: only for tests. */
  readonly openObjects: number;

  /** A new RDMA connection: rdma_cm id and event channel. */
  rdmaOpen(): number;
  rdmaResolveAddress(connection: number, address: string, port: number, timeoutMs: number): void;
  /** After ADDR_RESOLVED: protection domain (shared per device and reactor), CQ, QP. Returns the protection domain's id. */
  rdmaCreateQueuePair(connection: number, limits: NativeQueuePairLimits): number;
  rdmaResolveRoute(connection: number, timeoutMs: number): void;
  rdmaConnect(connection: number, parameters: NativeRdmaParameters): void;
  /** rdma_disconnect: QP to ERROR, everything posted is flushed. */
  rdmaDisconnect(connection: number): void;
  /** What the device allows. */
  rdmaDeviceLimits(protectionDomain: number): {
    readonly device: string;
    readonly maxQpReadAtomic: number;
    readonly maxQpWorkRequests: number;
    readonly onDemandPaging: boolean;
  };
  /** ibv_reg_mr of an arena range; `access` is a mask of RegistrationAccess. Throws NativeError (ENOMEM: limit reached). */
  registerMemory(
    protectionDomain: number,
    offset: number,
    length: number,
    access: number,
  ): NativeMemoryRegion;
  deregisterMemory(region: number): void;

  close(): void;
}

export interface NativeNbdAttach {
  /** -1: first free device. */
  readonly index: number;
  readonly sizeBytes: bigint;
  readonly blockSize: number;
  readonly serverFlags: number;
  readonly timeoutSeconds: number;
  readonly deadConnTimeoutSeconds: number;
  readonly backendIdentifier: string;
  /** Kernel ends; the caller closes its copies after the promise settles. */
  readonly sockets: readonly number[];
}

/** A verbs device, asked without a connection. */
export interface NativeRdmaDeviceState {
  readonly name: string;
  /** Its file under /dev/infiniband. */
  readonly node: string;
  /** 0, or the positive errno for which it cannot be used: then there is no more to know. */
  readonly errno: number;
  /** What it has not that on-demand paging needs; empty: nothing. */
  readonly lackingForPaging: string;
  readonly ports: readonly {
    readonly number: number;
    readonly active: boolean;
    /** RoCE or iWARP, else InfiniBand. */
    readonly ethernet: boolean;
    /** Bytes. */
    readonly activeMtu: number;
    readonly largestMtu: number;
  }[];
}

/** System calls; each throws or rejects with NativeError. Netlink runs on libuv's thread pool, one call at a time. */
export interface NativeSystem {
  socketPair(sendBufferSize: number): [number, number];
  /** socket+bind+listen on a Unix path, which has the mode and belongs to the group before anybody can connect. */
  listenUnix(path: string, mode: number, backlog: number, group?: string): number;
  /** socket+bind+listen on a numeric address; accepted connections have TCP_NODELAY and keepalive. */
  listenTcp(address: string, port: number, backlog: number): number;
  closeFd(fd: number): void;
  duplicateFd(fd: number): number;
  /** shutdown(2), both directions: the peer sees the end even while copies of the fd are open elsewhere. */
  shutdownFd(fd: number): void;
  /**
   * Opens (makes, if it must) a file and takes its exclusive flock(2): EAGAIN when somebody has it. The lock goes with the last copy
   * of the fd, however its holders end, and stays across `execute`.
   */
  lockFile(path: string): number;
  /** Whether the peer of a stream socket has closed or shut down its end. */
  hasHungUp(fd: number): boolean;
  /** sd_notify(3); false when there is no notification socket. `fds` go along (FDSTORE=1). */
  sdNotify(state: string, fds?: readonly number[]): boolean;
  /** sd_watchdog_enabled(3): microseconds, 0 when off. */
  watchdogMicroseconds(): number;
  /** sd_listen_fds(3) with the environment left alone: fds that systemd passed. */
  listenFds(): { readonly fd: number; readonly name: string; readonly listening: boolean }[];
  /**
   * Keeps program, libraries, stack and C++ heap, as mapped now, in memory; untouched pages are not allocated. Not V8's memory, which
   * must not be locked; arenas lock themselves.
   */
  lockMemory(): void;
  /** All of it, arenas too. */
  unlockMemory(): void;
  setIoFlusher(): void;
  setOomScoreAdjust(value: number): void;
  /** RLIMIT_MEMLOCK in bytes; Infinity = no limit. */
  memlockLimit(): { readonly soft: number; readonly hard: number };
  /**
   * execve(2) with the present environment: returns only by throwing. `argv[0]` is the program's own name. Standard input, output
   * and error and `inheritedFds` stay open.
   */
  execute(program: string, argv: readonly string[], inheritedFds?: readonly number[]): never;
  nbdConnect(attach: NativeNbdAttach): Promise<number>;
  nbdDisconnect(index: number): Promise<void>;
  nbdReconfigure(
    attach: Partial<NativeNbdAttach> & {
      readonly index: number;
      readonly backendIdentifier: string;
    },
  ): Promise<void>;
  /** Devices the kernel knows, connected or not. */
  nbdStatus(): Promise<{ readonly index: number; readonly connected: boolean }[]>;
  /** Those that this process can see; empty where the kernel has no verbs. */
  rdmaDevices(): NativeRdmaDeviceState[];
}

export interface Native {
  readonly Arena: new (sizeBytes: number, hugePages: boolean) => NativeArena;
  /**
   * `onCompletions(count)` is called on the event loop with `count` entries filled in; it returns how many submission entries
   * it has queued, and these are carried out in the same crossing.
   */
  readonly Reactor: new (
    arena: NativeArena,
    capacity: number,
    onCompletions: (count: number) => number,
  ) => NativeReactor;
  readonly system: NativeSystem;
  /** Constants of native/reactor/layout.h by name, for the test that both sides agree. */
  layout(): Record<string, number>;
}

let addon: Native | undefined;

/** Loads the addon on first use; works from src/ (tests under tsx) and from dist/src/. */
export function loadNative(): Native {
  if (addon === undefined) {
    const require = createRequire(import.meta.url);
    const name = process.env['ISERD_NATIVE_BUILD'] ?? 'Release';
    const paths = [
      `../../native/build/${name}/iserd.node`,
      `../../../native/build/${name}/iserd.node`,
    ];
    addon = firstThatLoads(require, paths);
  }
  return addon;
}

function firstThatLoads(require: NodeJS.Require, paths: readonly string[]): Native {
  let notFound: unknown;
  for (const path of paths) {
    try {
      return require(path) as Native;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
      notFound = error;
    }
  }
  throw notFound;
}
