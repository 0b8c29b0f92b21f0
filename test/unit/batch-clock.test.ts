import { expect } from 'chai';
import { BatchClock } from '../../src/batch-clock.ts';
import { FakeReactor } from '../../src/reactor/fake-reactor.ts';

/** Counts how often it is asked; every answer is one more. */
function countingTimers(): { now: () => number; schedule: () => () => void; asked: number } {
  const timers = {
    asked: 0,
    now: () => ++timers.asked,
    schedule: () => () => undefined,
  };
  return timers;
}

describe('the clock of batches', () => {
  it('asks for the time once in each part of a batch', () => {
    const source = { turn: 0 };
    const timers = countingTimers();
    const clock = new BatchClock(source, timers);
    for (const turn of [1, 1, 1, 2, 2, 5]) {
      source.turn = turn;
      clock.update();
    }
    expect(timers.asked).to.equal(3);
    expect(clock.nowMs[0]).to.equal(3);
  });

  it('asks every time outside of batches', () => {
    const timers = countingTimers();
    const clock = new BatchClock({ turn: 0 }, timers);
    clock.update();
    clock.update();
    expect(timers.asked).to.equal(2);
  });

  it('sees the completions of a batch and its end as two parts, and every batch anew', () => {
    const reactor = new FakeReactor();
    const seen: number[] = [];
    const { fd, peer } = reactor.streamPair();
    const stream = reactor.openStream(fd, {
      onConnected: () => undefined,
      onReceived: () => {
        seen.push(reactor.turn);
        if (seen.length < 4) reactor.receive(stream, 0, 1, 1);
      },
      onSent: () => undefined,
    });
    reactor.addBatchEndListener(() => seen.push(reactor.turn));
    reactor.receive(stream, 0, 1, 1);
    peer.write(new Uint8Array(2));
    reactor.run();
    expect(reactor.turn).to.equal(0);
    expect(new Set(seen).size).to.equal(seen.length);
    expect(seen).to.have.lengthOf.above(3).and.not.include(0);
  });
});
