import { loadNative } from './native.ts';
import { NativeReactor } from './native-reactor.ts';
import type { Reactor } from './reactor.ts';

export interface ReactorOptions {
  /** Memory for everything that goes through the reactor; address space only until it is touched. A multiple of the page size. */
  readonly arenaBytes: number;
  /** Ask for huge pages; without any the arena has ordinary ones. Default false. */
  readonly hugePages?: boolean;
  /** Operations that one crossing into native code carries; default 1024. */
  readonly batchCapacity?: number;
  /** How long to poll before sleeping; default 0. */
  readonly spinMicroseconds?: number;
}

/** A reactor with its own arena, both ended by `close`. */
export interface OpenReactor {
  readonly reactor: Reactor;
  /** Whether the arena has huge pages. */
  readonly hugePages: boolean;
  /** Gives the pages of an unused, unregistered, page-aligned range back to the kernel. */
  discard(offset: number, length: number): void;
  close(): void;
}

const defaultBatchCapacity = 1024;

/** Opens a reactor on this thread's event loop. Throws NativeError when there is no memory, Error when the addon is not built. */
export function openReactor(options: ReactorOptions): OpenReactor {
  const native = loadNative();
  const arena = new native.Arena(options.arenaBytes, options.hugePages ?? false);
  const reactor = new NativeReactor({
    native,
    arena,
    capacity: options.batchCapacity ?? defaultBatchCapacity,
    spinMicroseconds: options.spinMicroseconds ?? 0,
  });
  return {
    reactor,
    hugePages: arena.hugePages,
    discard: (offset, length) => {
      arena.discard(offset, length);
    },
    close: () => {
      reactor.closeAll();
      arena.close();
    },
  };
}
