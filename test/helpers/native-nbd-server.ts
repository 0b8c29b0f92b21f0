/** NBD connections over the native reactor, a RAM device behind them, a Unix socket in front. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockGeometry } from '../../src/block/device.ts';
import { systemTimers } from '../../src/timers.ts';
import { SlabPool } from '../../src/memory/slab-pool.ts';
import { NbdConnection } from '../../src/nbd/connection.ts';
import type { NbdConnectionOptions } from '../../src/nbd/connection.ts';
import type { NbdEnd } from '../../src/nbd/end.ts';
import { NbdListener } from '../../src/nbd/listener.ts';
import { NativeReactor } from '../../src/reactor/native-reactor.ts';
import { loadNative } from '../../src/reactor/native.ts';
import type { NativeArena } from '../../src/reactor/native.ts';
import { RamDevice } from './ram-device.ts';

const arenaBytes = 128 * 1024 * 1024;

export interface NativeNbdServerOptions {
  readonly sizeBytes: number;
  readonly maximumClients?: number;
  readonly geometry?: Partial<BlockGeometry>;
}

export class NativeNbdServer {
  readonly device: RamDevice;
  readonly pool: SlabPool;
  readonly socketPath: string;
  readonly ends: NbdEnd[] = [];
  readonly connections = new Set<NbdConnection>();
  readonly listener: NbdListener;
  readonly #directory: string;
  readonly #arena: NativeArena;
  readonly #reactor: NativeReactor;
  #onIdle: (() => void) | undefined;

  constructor(options: NativeNbdServerOptions) {
    const native = loadNative();
    this.#arena = new native.Arena(arenaBytes, false);
    this.#reactor = new NativeReactor({
      native,
      arena: this.#arena,
      capacity: 1024,
      spinMicroseconds: 0,
    });
    this.pool = new SlabPool({ sizeBytes: arenaBytes });
    this.device = new RamDevice(this.#reactor, options.sizeBytes, {
      capacity: 1024,
      ...(options.geometry === undefined ? {} : { geometry: options.geometry }),
    });
    this.device.recording = false;
    this.#directory = mkdtempSync(join(tmpdir(), 'iserd-nbd-'));
    this.socketPath = join(this.#directory, 'nbd.sock');
    const fd = native.system.listenUnix(this.socketPath, 0o600, 64);
    this.listener = new NbdListener(fd, {
      reactor: this.#reactor,
      maximumClients: options.maximumClients ?? 64,
      onConnection: (clientFd) => {
        this.#serve(clientFd);
      },
    });
  }

  /** nbd+unix URI of the one export. */
  get uri(): string {
    return `nbd+unix:///disk?socket=${this.socketPath}`;
  }

  /** Resolves when the last client's connection has ended. */
  async idle(): Promise<void> {
    if (this.connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** A connection in the transmission phase on one end of a socket pair, as the kernel's. */
  attach(fd: number): NbdConnection {
    return this.#start(fd, { device: this.device });
  }

  close(): void {
    this.listener.close();
    for (const connection of this.connections) connection.close();
    this.#reactor.closeAll();
    this.#arena.close();
    rmSync(this.#directory, { recursive: true });
  }

  #serve(fd: number): void {
    const disk = { name: 'disk', description: 'RAM', device: this.device };
    this.#start(fd, {
      exports: { find: (name) => (name === disk.name ? disk : undefined), list: () => [disk] },
    });
  }

  #start(fd: number, serve: NbdConnectionOptions['serve']): NbdConnection {
    const connection: NbdConnection = new NbdConnection(fd, {
      reactor: this.#reactor,
      pool: this.pool,
      timers: systemTimers,
      serve,
      events: {
        onClosed: (closed, end) => {
          this.ends.push(end);
          this.connections.delete(closed);
          if ('exports' in serve) this.listener.clientClosed();
          if (this.connections.size === 0) this.#onIdle?.();
        },
      },
    });
    this.connections.add(connection);
    connection.start();
    return connection;
  }
}
