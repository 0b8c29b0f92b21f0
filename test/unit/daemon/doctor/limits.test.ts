import { expect } from 'chai';
import type { Finding } from '../../../../daemon/doctor/finding.ts';
import { checkLimits } from '../../../../daemon/doctor/limits.ts';
import { FakeMachine } from '../../../helpers/fake-machine.ts';

const wants = { iser: true, device: true, odp: false };
const demand = {
  pinLimitBytes: 256 * 2 ** 20,
  hugePages: false,
  arenaBytes: 64 * 2 ** 20,
  clients: 128,
};
const subject = { process: '17', name: 'the running iserd' };
const everything = '000001ffffffffff';

interface Process {
  readonly memlock?: string;
  readonly files?: string;
  readonly capabilities?: string;
}

function machineOf({
  memlock = 'unlimited',
  files = '1024',
  capabilities = everything,
}: Process): FakeMachine {
  return new FakeMachine({
    '/proc/17/limits': `Limit   Soft Limit  Hard Limit  Units\nMax open files   ${files}   4096  files\nMax locked memory   ${memlock}  unlimited  bytes\n`,
    '/proc/17/status': `Name:\tiserd\nCapPrm:\t0\nCapEff:\t${capabilities}\n`,
    '/proc/meminfo': 'HugePages_Total:  40\nHugePages_Free:   31\nHugepagesize:   2048 kB\n',
  });
}

const check = (process: Process, changes: Partial<typeof demand> = {}): readonly Finding[] =>
  checkLimits(machineOf(process), wants, subject, { ...demand, ...changes });
const bad = (findings: readonly Finding[]) => findings.filter(({ level }) => level !== 'ok');

describe('doctor: limits', () => {
  it('is content with root’s', () => {
    expect(bad(check({}))).to.deep.equal([]);
  });

  it('says that too little can be pinned for RDMA', () => {
    const [finding] = bad(check({ memlock: '65536', capabilities: '0000000001200000' }));
    expect(finding.level).to.equal('wrong');
    expect(finding.message).to.contain('may pin only 64 KiB');
    expect(finding.cure).to.contain('LimitMEMLOCK=infinity');
  });

  it('notes a limit below the configured one, unless CAP_IPC_LOCK lifts it', () => {
    const [finding] = bad(check({ memlock: '67108864', capabilities: '0000000001200000' }));
    expect(finding).to.include({ level: 'note' });
    expect(finding.message).to.contain('pin_limit (256 MiB)');
    expect(bad(check({ memlock: '67108864' }))).to.deep.equal([]);
  });

  it('notes that clients can exhaust descriptors', () => {
    const [finding] = bad(check({ files: '256' }));
    expect(finding.message).to.contain('256 files');
    expect(finding.cure).to.contain('LimitNOFILE=384');
  });

  it('says which capabilities are missing, and which of them matter', () => {
    const findings = bad(check({ capabilities: '0' }));
    expect(
      findings.map(({ level, message }) => [level, /CAP_\w+/.exec(message)?.[0]]),
    ).to.deep.equal([
      ['wrong', 'CAP_SYS_ADMIN'],
      ['note', 'CAP_SYS_RESOURCE'],
    ]);
  });

  it('counts huge pages when they are configured', () => {
    expect(bad(check({}, { hugePages: true, arenaBytes: 62 * 2 ** 20 }))).to.deep.equal([]);
    const [finding] = bad(check({}, { hugePages: true }));
    expect(finding.message).to.contain('31 are free and a lane needs 32');
  });

  it('says that another user’s process cannot be looked at', () => {
    const [finding] = checkLimits(new FakeMachine(), wants, subject, demand);
    expect(finding).to.include({ level: 'note', cure: 'run as root' });
  });
});
