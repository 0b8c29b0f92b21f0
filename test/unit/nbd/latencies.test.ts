import { expect } from 'chai';
import { BlockError } from '../../../src/block/request-table.ts';
import { errorsByReason } from '../../../src/nbd/counters.ts';
import { concat, disconnect, read, request, write } from '../../helpers/nbd-client.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';

const flush = request({ command: 3 });
const trim = request({ command: 4, offset: 0n, length: 512 });

/** Microseconds, exact to the bucket: below 64 as they are. */
const milliseconds = 1000;

describe('the latencies of NBD requests', () => {
  it('last from the receive of a request to its reply, by kind', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    const steps = [
      [read(1n, 0, 512), 3],
      [write(2n, 0, new Uint8Array(512)), 5],
      [flush, 7],
      [trim, 11],
    ] as const;
    for (const [bytes, ms] of steps) {
      client.exchange(bytes);
      fixture.timers.advance(ms);
      fixture.device.finish();
      fixture.reactor.run();
    }
    const { histograms } = fixture.latencies;
    const seen = Object.entries(histograms).map(([kind, { count, sum, maximum }]) => {
      expect(sum).to.equal(maximum);
      return [kind, count, sum];
    });
    expect(seen).to.deep.equal([
      ['read', 1, 3 * milliseconds],
      ['write', 1, 5 * milliseconds],
      ['flush', 1, 7 * milliseconds],
      ['other', 1, 11 * milliseconds],
    ]);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('begin with the header of a write whose payload takes its time', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    const bytes = write(1n, 0, new Uint8Array(4096));
    client.exchange(bytes.subarray(0, 100));
    fixture.timers.advance(20);
    client.exchange(bytes.subarray(100));
    fixture.timers.advance(30);
    fixture.device.finish();
    expect(fixture.latencies.histograms.write.maximum).to.equal(50 * milliseconds);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('include the time that a request had to wait for others', () => {
    const fixture = new NbdFixture({ automatic: false, limits: { requests: 1 } });
    const client = fixture.attach();
    client.exchange(read(1n, 0, 512), read(2n, 0, 512));
    for (let i = 0; i < 2; i++) {
      fixture.timers.advance(10);
      fixture.device.finish();
      fixture.reactor.run();
    }
    const { read: reads } = fixture.latencies.histograms;
    expect([reads.count, reads.sum]).to.deep.equal([2, 30 * milliseconds]);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('include requests that the device has failed, not those that were refused', () => {
    const fixture = new NbdFixture();
    fixture.device.fault = () => BlockError.ioError;
    const client = fixture.attach();
    client.exchange(read(1n, 0, 512), read(2n, 2 ** 40, 512), read(3n, 1, 512));
    expect(fixture.latencies.histograms.read.count).to.equal(1);
    expect(errorsByReason(client.connection.counters)).to.deep.equal({
      'device-failed': 1,
      'past-end': 1,
      unaligned: 1,
    });
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('are those of all clients together', () => {
    const fixture = new NbdFixture();
    const clients = [fixture.attach(), fixture.attach()];
    for (const client of clients) client.exchange(concat(read(1n, 0, 512), read(2n, 0, 512)));
    expect(fixture.latencies.histograms.read.count).to.equal(4);
    for (const client of clients) client.exchange(disconnect);
    fixture.expectNothingLeft();
  });
});
