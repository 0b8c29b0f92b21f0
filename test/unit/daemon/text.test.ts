import { expect } from 'chai';
import { describeTargets } from '../../../daemon/cli/discover.ts';
import { describeStatus } from '../../../daemon/cli/status.ts';
import { formatFields, formatTable } from '../../../daemon/cli/table.ts';
import type { Status } from '../../../daemon/control/protocol.ts';

describe('a table', () => {
  it('aligns text to the left and numbers to the right, without spaces at the end', () => {
    expect(
      formatTable(
        ['NAME', 'COUNT'],
        [
          ['a', 7],
          ['longer', 12345],
        ],
      ),
    ).to.equal('NAME    COUNT\na           7\nlonger  12345');
    expect(formatTable(['A', 'B'], [['x', '']])).to.equal('A  B\nx');
  });

  it('without rows is its header', () => {
    expect(formatTable(['A', 'B'], [])).to.equal('A  B');
  });
});

describe('fields', () => {
  it('have their values in one column', () => {
    expect(formatFields({ a: 1, long: true })).to.equal('  a     1\n  long  true');
  });
});

describe('the status for people', () => {
  const status: Status = {
    version: 1,
    pid: 42,
    uptimeSeconds: 7,
    volumes: [
      {
        name: 'data',
        state: 'serving',
        device: '/dev/nbd0',
        socket: null,
        target: 'iqn.2026-11.test:disk',
        lun: 3,
        transport: 'iser',
        identity: 'naa.1',
        sizeBytes: 2 ** 30,
        logicalBlockLength: 512,
        readOnly: false,
        failure: null,
        sessions: [
          {
            lane: 0,
            state: 'up',
            portal: '10.0.0.5:3260',
            reconnects: 1,
            clients: 2,
            inFlight: 3,
            reads: 4,
            writes: 5,
            others: 6,
            bytesRead: 1024,
            bytesWritten: 2048,
            errors: 9,
            clientsDropped: 2,
          },
        ],
      },
    ],
    lanes: [
      { arenaBytes: 1, usedBytes: 0, peakUsedBytes: 1, requestsInFlight: 0, registrations: [] },
    ],
  };

  it('has a table of volumes and one of sessions', () => {
    const text = describeStatus(status);
    expect(text).to.match(/^iserd, pid 42, up 7 s\n\nVOLUME /);
    expect(text).to.match(/^data +serving +\/dev\/nbd0 +iser +1 GiB +iqn\.2026-11\.test:disk +3$/m);
    expect(text).to.match(/^data +0 +up +10\.0\.0\.5:3260 +2 +3 +4 +5 +1 KiB +2 KiB +9 +1$/m);
    expect(text).not.to.match(/REGISTRATION/);
  });

  it('has a table of registrations where there are any', () => {
    const registration = {
      device: 'rxe0',
      strategy: 'cache',
      hits: 10,
      misses: 2,
      evictions: 1,
      retries: 0,
      failures: 0,
      entries: 1,
      pinnedBytes: 4096,
      registrationMicroseconds: 5,
    };
    const text = describeStatus({
      ...status,
      lanes: [{ ...status.lanes[0], registrations: [registration] }],
    });
    expect(text).to.match(/^ +0 +rxe0 +cache +10 +2 +1 +1 +4 KiB$/m);
  });

  it('shows a failure beside its volume', () => {
    const [volume] = status.volumes;
    const text = describeStatus({
      ...status,
      volumes: [{ ...volume, state: 'failed', device: null, failure: 'no login in time' }],
    });
    expect(text).to.match(/^data +failed +- .* no login in time$/m);
  });
});

describe('a list of discovered targets for people', () => {
  it('has every portal under its target, IPv6 in brackets', () => {
    const text = describeTargets([
      {
        targetName: 'iqn.2026-11.test:a',
        portals: [
          { address: 'fe80::1', port: 3260, tag: 1 },
          { address: '10.0.0.5', port: 3261, tag: 2 },
        ],
      },
      { targetName: 'iqn.2026-11.test:b', portals: [] },
    ]);
    expect(text).to.equal(
      'iqn.2026-11.test:a\n  [fe80::1]:3260,1\n  10.0.0.5:3261,2\niqn.2026-11.test:b\n',
    );
  });

  it('says that there are none', () => {
    expect(describeTargets([])).to.match(/no targets/);
  });
});
