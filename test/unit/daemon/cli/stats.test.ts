import { expect } from 'chai';
import { describeActivity, describeVolume } from '../../../../daemon/cli/describe-stats.ts';
import { sinceThen } from '../../../../daemon/cli/stats.ts';
import type { Terminal } from '../../../../daemon/cli/terminal.ts';
import { statsSchema, type VolumeStats } from '../../../../daemon/control/statistics-schema.ts';
import { Histogram, emptySnapshot } from '../../../../src/histogram.ts';
import { histogramOf } from '../../../helpers/durations.ts';
import { sessionStatistics } from '../../../helpers/statistics.ts';

const pipe: Terminal = { isTty: false, columns: 80, rows: Infinity, unicode: false };

function volumeStats(reads: readonly number[], more: object = {}): VolumeStats {
  const latencies = {
    read: histogramOf(reads).snapshot(),
    write: emptySnapshot,
    flush: emptySnapshot,
    other: emptySnapshot,
  };
  const volume = {
    ...sessionStatistics({ reads: reads.length, bytesRead: reads.length * 4096 }),
    name: 'data',
    state: 'serving',
    sessions: 1,
    latencies,
    ...more,
  };
  return statsSchema.parse({ version: 1, atMs: 0, volumes: [volume] }).volumes[0];
}

describe('the statistics for people', () => {
  it('have percentiles for each kind of request, and none where there was nothing', () => {
    const text = describeVolume(volumeStats([100, 110, 120, 5000]), false, pipe);
    expect(text).to.match(/^volume data: serving, 1 session, 0 clients, 0 in flight\n/);
    const rows = text.split('\n').map((line) => line.trim().split(/ {2,}/));
    expect(rows[2]).to.deep.equal([
      'LATENCY',
      'COUNT',
      'MEAN',
      'P50',
      'P90',
      'P99',
      'P99.9',
      'P99.99',
      'MAX',
    ]);
    expect(rows[3]).to.deep.equal([
      'read',
      '4',
      '1.33 ms',
      '111 us',
      '5 ms',
      '5 ms',
      '5 ms',
      '5 ms',
      '5 ms',
    ]);
    expect(rows[4]).to.deep.equal(['write', '0', ...new Array<string>(7).fill('-')]);
  });

  it('have counts, and errors and losses by reason, the most frequent first', () => {
    const text = describeVolume(
      volumeStats([], {
        errorsByReason: { 'past-end': 1, 'device-failed': 3 },
        connectionsLost: { 'nop-timeout': 2 },
        reconnects: 2,
        trims: 7,
      }),
      false,
      pipe,
    );
    expect(text).to.match(/^ {2}errors +device-failed 3, past-end 1$/m);
    expect(text).to.match(/^ {2}connections lost +nop-timeout 2$/m);
    expect(text).to.match(/^ {2}others +trim 7, write zeroes 0, cache 0, block status 0$/m);
    expect(text).not.to.match(/SCSI failures/);
    expect(describeVolume(volumeStats([]), false, pipe)).to.match(/^ {2}errors +none$/m);
  });

  it('have a chart of each kind that occurred, when asked for', () => {
    const volume = volumeStats([100, 200]);
    expect(describeVolume(volume, true, pipe)).to.match(
      /\n\nread\n +96 us - 128 us +1 +50\.0 % #+\n/,
    );
    expect(describeVolume(volume, true, pipe)).not.to.match(/\nwrite\n/);
    expect(describeVolume(volume, false, pipe)).not.to.match(/#/);
  });

  it('are rates while they are watched', () => {
    const text = describeActivity(volumeStats([100, 100, 100]), 1.5, false, pipe);
    expect(text).to.match(/^last 1\.5 s: 2 IOPS, 8 KiB\/s read, 0 B\/s written$/m);
  });
});

describe('what happened between two answers', () => {
  const answer = (...volumes: VolumeStats[]) => ({ version: 1, atMs: 0, volumes });

  it('is the difference of counts, errors and latencies', () => {
    const before = volumeStats([100, 9000], { errorsByReason: { 'past-end': 1 } });
    const now = volumeStats([100, 9000, 200, 210], { errorsByReason: { 'past-end': 4 } });
    const [volume] = sinceThen(answer(now), answer(before)).volumes;
    expect(volume.reads).to.equal(2);
    expect(volume.errorsByReason).to.deep.equal({ 'past-end': 3 });
    const { count, sum, maximum } = Histogram.of(volume.latencies.read);
    expect([count, sum]).to.deep.equal([2, 410]);
    expect(maximum).to.be.within(210, 217);
  });

  it('is everything, when the volume is new or has been started anew', () => {
    const now = volumeStats([100]);
    expect(sinceThen(answer(now), answer()).volumes[0]).to.deep.equal(now);
    expect(sinceThen(answer(now), answer(volumeStats([1, 2]))).volumes[0]).to.deep.equal(now);
  });
});
