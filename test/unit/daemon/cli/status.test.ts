import { expect } from 'chai';
import { describeDetails, describeStatus, formatUptime } from '../../../../daemon/cli/status.ts';
import type { Terminal } from '../../../../daemon/cli/terminal.ts';
import type { Status } from '../../../../daemon/control/protocol.ts';
import {
  laneStatistics,
  registrationReport,
  sessionStatistics,
} from '../../../helpers/statistics.ts';

const pipe: Terminal = { isTty: false, columns: Infinity, rows: Infinity, unicode: false };
const target = 'iqn.2026-11.test:disk';
const session = {
  ...sessionStatistics({
    portal: '10.0.0.5:3260',
    reconnects: 1,
    clients: 2,
    inFlight: 3,
    reads: 4,
    writes: 5,
    bytesRead: 1024,
    bytesWritten: 2048,
    errors: 9,
  }),
  lane: 0,
} as Status['volumes'][number]['sessions'][number];
const volume: Status['volumes'][number] = {
  name: 'data',
  state: 'serving',
  device: '/dev/nbd0',
  socket: null,
  target,
  lun: 3,
  transport: 'iser',
  identity: 'naa.1',
  sizeBytes: 2 ** 30,
  logicalBlockLength: 512,
  readOnly: false,
  failure: null,
  sessions: [session, { ...session, portal: '10.0.0.6:3260', state: 'connecting' }],
  recent: {
    seconds: 10,
    readsPerSecond: 1000,
    writesPerSecond: 500,
    othersPerSecond: 0.5,
    bytesReadPerSecond: 4096000,
    bytesWrittenPerSecond: 2 ** 21,
    latency: { meanMicroseconds: 320, p50Microseconds: 310, p99Microseconds: 12_345 },
  },
};
const lane = { ...laneStatistics(), silentMs: 12, registrations: [] };
const status: Status = { version: 1, pid: 42, uptimeSeconds: 7, volumes: [volume], lanes: [lane] };

describe('the status for people', () => {
  it('has a line for each volume: where it is, how it is, and what it does', () => {
    const text = describeStatus(status, pipe);
    expect(text).to.match(/^iserd, pid 42, up 7 s, 1 of 1 volumes serving\n\nVOLUME /);
    const cells = text.split('\n')[3].split(/ {2,}/);
    expect(cells).to.deep.equal([
      'data',
      'serving',
      '/dev/nbd0',
      `${target}/3`,
      'iser',
      '10.0.0.5:3260,10.0.0.6:3260',
      '1 of 2',
      '6',
      '1,501',
      '3.9 MiB',
      '2 MiB',
      '310 us',
      '12.3 ms',
      '2',
    ]);
  });

  it('leaves open what it does not know yet, and latencies when nothing was answered', () => {
    const idle = { ...volume.recent!, latency: null };
    const rows = [null, idle].map((recent) => {
      const text = describeStatus({ ...status, volumes: [{ ...volume, recent }] }, pipe);
      return text.split('\n')[3].split(/ {2,}/).slice(8, 13);
    });
    expect(rows).to.deep.equal([
      ['-', '-', '-', '-', '-'],
      ['1,501', '3.9 MiB', '2 MiB', '-', '-'],
    ]);
  });

  it('keeps to the width of a terminal by the beginning of targets', () => {
    const wide = describeStatus(status, pipe).split('\n')[3].length;
    const terminal = { ...pipe, isTty: true, unicode: true, columns: wide - 8 };
    const lines = describeStatus(status, terminal).split('\n');
    for (const line of lines) expect(line.length).to.be.at.most(terminal.columns);
    expect(lines[3]).to.match(/ …\S*disk\/3 /);
  });

  it('says below the table why a volume does not serve', () => {
    const failed = { ...volume, state: 'failed', device: null, sessions: [], failure: 'no login' };
    const text = describeStatus({ ...status, volumes: [failed] }, pipe);
    expect(text).to.match(/, 0 of 1 volumes serving\n/);
    expect(text).to.match(/\n\nvolume data is failed: no login\n$/);
  });

  it('says that a lane is stuck', () => {
    const text = describeStatus({ ...status, lanes: [lane, { ...lane, silentMs: 7400 }] }, pipe);
    expect(text).to.match(/\n\nlane 1 has not answered for 7 s\n$/);
  });

  it('has sessions, lanes and registrations for those who want all', () => {
    const without = describeDetails(status, pipe);
    expect(without).to.match(/^data +0 +0 +up +10\.0\.0\.5:3260 +2 +3 +4 +5 +1 KiB +2 KiB +9 +1$/m);
    expect(without).not.to.match(/REGISTRATION/);
    const lanes = [{ ...lane, registrations: [registrationReport()] }];
    const text = describeDetails({ ...status, lanes }, pipe);
    expect(text).to.match(/^ +0 +rxe0 +cache +10 +2 +1 +1 +4 KiB$/m);
  });
});

describe('the uptime', () => {
  const cases = [
    [59, '59 s'],
    [60, '1 min'],
    [3 * 3600 + 120, '3 h 2 min'],
    [86400 * 2 + 3600, '2 d 1 h'],
  ] as const;
  for (const [seconds, text] of cases)
    it(`of ${seconds} s is "${text}"`, () => {
      expect(formatUptime(seconds)).to.equal(text);
    });
});
