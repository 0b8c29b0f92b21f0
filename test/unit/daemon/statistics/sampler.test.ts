import { expect } from 'chai';
import type { LanePort } from '../../../../daemon/lane/lane-thread.ts';
import type { LaneStatistics } from '../../../../daemon/lane/messages.ts';
import { StatisticsSampler } from '../../../../daemon/statistics/sampler.ts';
import { recentActivity, totalsOf } from '../../../../daemon/statistics/volume-activity.ts';
import { emptySnapshot } from '../../../../src/histogram.ts';
import { histogramOf } from '../../../helpers/durations.ts';
import { FakeTimers } from '../../../helpers/fake-timers.ts';
import { laneStatistics, sessionStatistics } from '../../../helpers/statistics.ts';

/** A lane that answers with what the test has set, when it does. */
class AnsweringLane {
  statistics: LaneStatistics = laneStatistics();
  asked = 0;
  /** Undefined: at once. */
  stuck: Promise<void> | undefined;

  readonly port = {
    call: async () => {
      this.asked++;
      await this.stuck;
      return this.statistics;
    },
    close: () => Promise.resolve(),
  } as unknown as LanePort;

  /** Reads of so many microseconds, and other counts, of session 3. */
  set(durations: readonly number[], more: object = {}): void {
    const read = histogramOf(durations).snapshot();
    const latencies = { read, write: emptySnapshot, flush: emptySnapshot, other: emptySnapshot };
    const { length: reads } = durations;
    const session = { session: 3, reads, bytesRead: reads * 512, latencies, ...more };
    this.statistics = laneStatistics({ sessions: [sessionStatistics(session)] });
  }

  get place(): { lane: LanePort; report: { session: number } } {
    return { lane: this.port, report: { session: 3 } };
  }
}

const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the sampler of statistics', () => {
  let timers: FakeTimers;
  let lane: AnsweringLane;
  let sampler: StatisticsSampler;

  beforeEach(() => {
    timers = new FakeTimers();
    lane = new AnsweringLane();
    sampler = new StatisticsSampler(() => [lane.port], timers);
  });

  const seconds = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      timers.advance(1000);
      await turns();
    }
  };

  it('asks once a second, and no more once it is stopped', async () => {
    sampler.start();
    await seconds(3);
    expect(lane.asked).to.equal(3);
    sampler.stop();
    await seconds(3);
    expect(lane.asked).to.equal(3);
    expect(timers.armed).to.equal(0);
  });

  it('asks a stuck lane no second time, and says for how long it has been silent', async () => {
    lane.set([1, 2]);
    sampler.start();
    await seconds(1);
    let letGo = (): void => undefined;
    lane.stuck = new Promise((resolve) => (letGo = resolve));
    await seconds(5);
    expect(lane.asked).to.equal(2);
    expect(sampler.views()[0].silentMs).to.equal(5000);
    expect(totalsOf(sampler, [lane.place]).reads).to.equal(2);
    lane.stuck = undefined;
    letGo();
    await turns();
    expect(sampler.views()[0].silentMs).to.equal(0);
    sampler.stop();
  });

  it('refreshes at once, and gives up on a stuck lane in time', async () => {
    await sampler.refresh(1000);
    expect(lane.asked).to.equal(1);
    expect(timers.armed).to.equal(0);
    lane.stuck = new Promise(() => undefined);
    const refreshed = sampler.refresh(1000);
    timers.advance(1000);
    await refreshed;
  });

  it('survives a lane whose thread is gone', async () => {
    lane.stuck = Promise.reject(new Error('lane 0 ended'));
    await sampler.refresh(1000);
    expect(sampler.views()[0].latest).to.equal(undefined);
  });

  it('forgets lanes that are no more', async () => {
    const ports = [lane.port];
    sampler = new StatisticsSampler(() => ports, timers);
    await sampler.refresh(1000);
    ports.length = 0;
    expect(sampler.views()).to.have.lengthOf(0);
  });

  describe('makes rates', () => {
    it('of what was counted in the time asked for', async () => {
      sampler.start();
      const durations: number[] = [];
      for (let second = 1; second <= 20; second++) {
        // 1 read in the first second, 2 in the second …, each as long as its second says.
        for (let i = 0; i < second; i++) durations.push(second * 1000);
        lane.set(durations);
        await seconds(1);
      }
      const last = recentActivity(sampler, [lane.place], 1)!;
      expect(last).to.include({ seconds: 1, readsPerSecond: 20, bytesReadPerSecond: 20 * 512 });
      expect(last.latency!.meanMicroseconds).to.equal(20_000);
      expect(last.latency!.p50Microseconds).to.be.within(20_000, 20_625);
      const ten = recentActivity(sampler, [lane.place], 10)!;
      expect(ten.seconds).to.equal(10);
      expect(ten.readsPerSecond).to.equal(15.5);
      sampler.stop();
    });

    it('none before there are two answers', async () => {
      expect(recentActivity(sampler, [lane.place], 10)).to.equal(null);
      await sampler.refresh(1000);
      expect(recentActivity(sampler, [lane.place], 10)).to.equal(null);
    });

    it('from zero of a session that was not there yet', async () => {
      sampler.start();
      await seconds(2);
      lane.set([10, 10, 10]);
      await seconds(1);
      expect(recentActivity(sampler, [lane.place], 1)!.readsPerSecond).to.equal(3);
      sampler.stop();
    });

    it('without latencies when nothing was answered', async () => {
      lane.set([10]);
      sampler.start();
      await seconds(3);
      expect(recentActivity(sampler, [lane.place], 1)!.latency).to.equal(null);
      sampler.stop();
    });
  });

  it('adds up sessions, errors and latencies', async () => {
    const other = new AnsweringLane();
    sampler = new StatisticsSampler(() => [lane.port, other.port], timers);
    lane.set([10, 20], { errorsByReason: { 'past-end': 1 } });
    other.set([5000], { errorsByReason: { 'past-end': 2, unaligned: 1 }, inFlight: 4 });
    await sampler.refresh(1000);
    const totals = totalsOf(sampler, [lane.place, other.place]);
    expect(totals).to.deep.include({
      reads: 3,
      inFlight: 4,
      errorsByReason: { 'past-end': 3, unaligned: 1 },
    });
    expect(totals.latencies.read.count).to.equal(3);
    expect(totals.latencies.read.maximum).to.equal(5000);
  });
});
