import { expect } from 'chai';
import { controlVersion, type Status } from '../../../../daemon/control/protocol.ts';
import { describeSections } from '../../../../daemon/doctor/report.ts';
import { note, ok, wrong } from '../../../../daemon/doctor/finding.ts';
import { checkDaemon } from '../../../../daemon/doctor/running-daemon.ts';

type VolumeStatus = Status['volumes'][number];

const volume = (changes: Partial<VolumeStatus> = {}): VolumeStatus =>
  ({
    name: 'data',
    state: 'serving',
    device: '/dev/nbd3',
    failure: null,
    sessions: [{ state: 'up', portal: '10.0.0.5:3260' }],
    ...changes,
  }) as VolumeStatus;

const check = (volumes: VolumeStatus[], version = controlVersion) =>
  checkDaemon(
    () => Promise.resolve({ version, pid: 17, volumes }),
    (answer) => answer as Status,
    1,
  );

describe('doctor: the running daemon', () => {
  it('is content with volumes that serve', async () => {
    const { findings, pid, devices } = await check([volume()]);
    expect(findings.map(({ level, message }) => `${level}: ${message}`)).to.deep.equal([
      'ok: a daemon answers (process 17, 1 volumes)',
      'ok: volume data is serving as /dev/nbd3',
    ]);
    expect(pid).to.equal(17);
    expect([...devices]).to.deep.equal(['/dev/nbd3']);
  });

  it('notes that there is none', async () => {
    const { findings, pid } = await checkDaemon(
      () => Promise.reject(new Error('/run/x: ENOENT')),
      (answer) => answer as Status,
      2,
    );
    expect(findings[0].level).to.equal('note');
    expect(findings[0].cure).to.contain('systemctl start iserd');
    expect(pid).to.equal(undefined);
  });

  it('says that it is of another version', async () => {
    const { findings } = await check([], controlVersion + 1);
    expect(findings[0].level).to.equal('wrong');
    expect(findings[0].cure).to.contain('iserctl restart');
  });

  it('says why a volume does not serve', async () => {
    const { findings } = await check([volume({ state: 'failed', failure: 'another unit' })]);
    expect(findings[1]).to.include({
      level: 'wrong',
      message: 'volume data is failed: another unit',
    });
  });

  it('says that a session is down', async () => {
    const sessions = [{ state: 'waiting', portal: '10.0.0.5:3260' }] as VolumeStatus['sessions'];
    const { findings } = await check([volume({ sessions })]);
    expect(findings[1].level).to.equal('wrong');
    expect(findings[1].message).to.contain('a session is waiting (10.0.0.5:3260)');
  });

  it('is reported with what to do, and summed up', () => {
    const sections = [
      { area: 'RDMA', findings: [ok('fine'), wrong('broken', 'mend it')] },
      { area: 'portals', findings: [] },
      { area: 'nbd', findings: [note('so so')] },
    ];
    expect(describeSections(sections, false)).to.equal(
      'RDMA\n  ok     fine\n  wrong  broken\n         → mend it\n\nnbd\n  note   so so\n\n1 problem, 1 note\n',
    );
  });
});
