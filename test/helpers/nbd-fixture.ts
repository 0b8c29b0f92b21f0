/** One NBD connection over the fake reactor, with a RAM device behind it and the test at the client's end. */
import { expect } from 'chai';
import { SlabPool } from '../../src/memory/slab-pool.ts';
import { NbdConnection } from '../../src/nbd/connection.ts';
import type { NbdConnectionOptions } from '../../src/nbd/connection.ts';
import { BatchClock } from '../../src/batch-clock.ts';
import { RequestLatencies } from '../../src/nbd/latencies.ts';
import type { NbdExport } from '../../src/nbd/export.ts';
import type { NbdLimits } from '../../src/nbd/limits.ts';
import type { FakeStreamPeer } from '../../src/reactor/fake-reactor.ts';
import { FakeReactor } from '../../src/reactor/fake-reactor.ts';
import { FakeTimers } from './fake-timers.ts';
import { clientFlagsBoth, concat, infoData, metaData, option, u32 } from './nbd-client.ts';
import { RamDevice } from './ram-device.ts';
import type { RamDeviceOptions } from './ram-device.ts';

export interface NbdFixtureOptions extends RamDeviceOptions {
  readonly sizeBytes?: number;
  readonly poolBytes?: number;
  readonly limits?: Partial<NbdLimits>;
}

/** Reactor, pool and device; as many connections as a test wants. */
export class NbdFixture {
  readonly reactor: FakeReactor;
  readonly pool: SlabPool;
  readonly timers = new FakeTimers();
  readonly device: RamDevice;
  readonly exports: NbdExport[] = [];
  readonly limits: Partial<NbdLimits>;
  readonly latencies: RequestLatencies;

  constructor(options: NbdFixtureOptions = {}) {
    const poolBytes = options.poolBytes ?? 16 * 1024 * 1024;
    this.reactor = new FakeReactor({ arenaBytes: poolBytes });
    this.pool = new SlabPool({
      sizeBytes: poolBytes,
      segmentBytes: 256 * 1024,
      poison: this.reactor.arena.bytes,
    });
    this.latencies = new RequestLatencies(new BatchClock(this.reactor, this.timers));
    this.device = new RamDevice(this.reactor, options.sizeBytes ?? 1024 * 1024, options);
    this.exports.push({ name: 'disk', description: 'a RAM disk', device: this.device });
    this.limits = options.limits ?? {};
  }

  /** A connection that negotiates. */
  negotiate(): NbdPeer {
    const exports = {
      find: (name: string) => this.exports.find((each) => each.name === name),
      list: () => this.exports,
    };
    return this.#connect({ exports });
  }

  /** A connection in the transmission phase, as the kernel's. */
  attach(): NbdPeer {
    return this.#connect({ device: this.device });
  }

  /** A connection that has negotiated structured replies and, unless told otherwise, base:allocation. */
  structured(allocation = true): NbdPeer {
    const client = this.negotiate();
    const context = allocation
      ? option(10, metaData('disk', ['base:allocation']))
      : u32(0).slice(4);
    client.send(concat(u32(clientFlagsBoth), option(8), context, option(7, infoData('disk'))));
    this.reactor.run();
    client.peer.take();
    expect(client.connection.phase).to.equal('transmitting');
    return client;
  }

  #connect(serve: NbdConnectionOptions['serve']): NbdPeer {
    const { fd, peer } = this.reactor.streamPair();
    return new NbdPeer(this, fd, peer, serve);
  }

  /** Nothing is held by anybody any more, and nobody broke the reactor's contract. */
  expectNothingLeft(): void {
    expect(this.reactor.violations).to.deep.equal([]);
    expect(this.reactor.leaks()).to.deep.equal([]);
    expect(this.device.requests.inFlight).to.equal(0);
    expect(this.pool.statistics.usedBytes).to.equal(0);
    expect(this.timers.armed).to.equal(0);
  }
}

/** The client's end of one connection. */
export class NbdPeer {
  readonly peer: FakeStreamPeer;
  readonly connection: NbdConnection;
  /** How it ended, if it has. */
  ended: string | undefined;
  detail = '';
  ends = 0;
  readonly #fixture: NbdFixture;

  constructor(
    fixture: NbdFixture,
    fd: number,
    peer: FakeStreamPeer,
    serve: NbdConnectionOptions['serve'],
  ) {
    this.#fixture = fixture;
    this.peer = peer;
    this.connection = new NbdConnection(fd, {
      reactor: fixture.reactor,
      pool: fixture.pool,
      timers: fixture.timers,
      limits: fixture.limits,
      latencies: fixture.latencies,
      serve,
      events: {
        onClosed: (_, end, detail) => {
          this.ended = end;
          this.detail = detail;
          this.ends++;
        },
      },
    });
    this.connection.start();
  }

  send(...parts: readonly Uint8Array[]): void {
    this.peer.write(concat(...parts));
  }

  /** Sends, lets everything come to rest, and takes what came back. */
  exchange(...parts: readonly Uint8Array[]): Uint8Array {
    this.send(...parts);
    this.#fixture.reactor.run();
    return this.peer.take();
  }
}
