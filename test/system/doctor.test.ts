/** `iserctl doctor` and `iserctl bench` where there is an RDMA device: in order, and with things wrong that people meet. */
import { expect } from 'chai';
import { iserctlPath, run, runOk, type Finished } from '../helpers/programs.ts';
import { initiatorOptions, targets } from '../vm/guest/machine.ts';
import { ServedVolume } from '../vm/guest/served-volume.ts';

const iserctl = (...argv: readonly string[]): Promise<Finished> =>
  run(process.execPath, [iserctlPath, ...argv]);
const doctor = (...argv: readonly string[]): Promise<Finished> =>
  iserctl('doctor', '--config', '/dev/null', '--socket', '/nowhere', ...argv);

describe('iserctl doctor over iSER', () => {
  let url = '';
  let portal = '';

  before(async () => {
    url = await targets.variable('lio_iser_url');
    portal = url.slice(0, url.indexOf('/iqn'));
  });

  it('finds nothing wrong, and says what the RDMA device is like', async () => {
    const { code, stdout, stderr } = await doctor(url, portal, ...initiatorOptions());
    expect(code, stdout + stderr).to.equal(0);
    expect(stdout).to.match(/ok +rxe0 port 1 is active: RoCE on rdma0 \(10\.9\.9\.1\b.*\)/);
    expect(stdout).to.match(
      /note +rxe0 port 1 sends packets of 1024 bytes of at most 4096 \(rdma0 has MTU 1500\)\n +→ an MTU of 4200 or more/,
    );
    expect(stdout).to.match(/ok +the nbd module is loaded: \d+ devices attached \(nbds_max \d+\)/);
    expect(stdout).to.contain(`${portal} can be reached (RDMA, over rxe0)`);
    expect(stdout).to.match(/login to iqn\.2026-11\.test:lio LUN 0 works: .*192 MiB/);
    expect(stdout).to.match(/discovery works: .*iqn\.2026-11\.test:lio/);
    expect(stderr).to.equal('');
  });

  it('says that a port has no link, and then no address', async () => {
    await targets.run('ip link add rdma2 type veth peer name rdma3');
    await targets.run('rdma link add rxe1 type rxe netdev rdma2');
    try {
      const down = await doctor();
      expect(down.code).to.equal(0);
      expect(down.stdout).to.match(
        /note +rxe1 port 1 is not active: link DOWN, physically \S+\n +→ check cable and switch; ip link set rdma2 up/,
      );
      await targets.run('sysctl -qw net.ipv6.conf.rdma2.disable_ipv6=1');
      await targets.run('ip link set rdma2 up && ip link set rdma3 up');
      const up = await doctor(portal);
      expect(up.code, up.stdout).to.equal(1);
      expect(up.stdout).to.match(
        /wrong +rxe1 port 1 is active \(RoCE\), but rdma2 has no IP address/,
      );
    } finally {
      await targets.run('rdma link delete rxe1 && ip link delete rdma2');
    }
  });

  it('says that nobody listens, and that there is no way', async () => {
    const closed = await doctor('iser://10.9.9.1:3999/iqn.2026-11.test:none/0');
    expect(closed.code).to.equal(1);
    expect(closed.stdout).to.match(
      /wrong +iser:\S+: login to \S+ LUN 0 fails: .*refused.*\n +→ the target may serve this port over TCP only/,
    );
    const lost = await doctor('iser://10.77.0.1');
    expect(lost.code).to.equal(1);
    expect(lost.stdout).to.match(
      /wrong +iser:\S+ cannot be reached: .*\n +→ check that ping 10\.77/,
    );
  });

  it('says that the target does not know this initiator', async () => {
    const { code, stdout } = await doctor(
      await targets.variable('tgt_iser_url'),
      '--initiator-name',
      'iqn.2026-11.test:stranger',
    );
    expect(code).to.equal(1);
    expect(stdout).to.match(/wrong +iser:\S+: login to iqn\.2026-11\.test:iser LUN 1 fails: /);
    expect(stdout).to.contain('iqn.2026-11.test:stranger');
  });

  it('says that too little memory can be pinned', async () => {
    const limited = ['--memlock=65536', 'setpriv', '--bounding-set=-ipc_lock', process.execPath];
    const argv = [iserctlPath, 'doctor', '--config', '/dev/null', '--socket', '/nowhere', url];
    const { code, stdout } = await run('prlimit', [...limited, ...argv, ...initiatorOptions()]);
    expect(code).to.equal(1);
    expect(stdout).to.match(
      /wrong +an iserd started from here may pin only 64 KiB \(RLIMIT_MEMLOCK\): too little for RDMA\n +→ LimitMEMLOCK=infinity/,
    );
  });

  it('finds the device that a killed daemon has left', async () => {
    const volume = await ServedVolume.start('lio_iser_url');
    try {
      const { device } = volume;
      const served = await iserctl(
        'doctor',
        '--config',
        '/dev/null',
        '--socket',
        volume.controlSocket,
      );
      expect(served.code, served.stdout).to.equal(0);
      expect(served.stdout).to.contain(`volume serve is serving as ${device}`);
      await volume.kill();
      const left = await doctor();
      expect(left.code).to.equal(1);
      expect(left.stdout).to.contain(`${device} was left by an iserd and is served by none`);
      await runOk(process.execPath, [iserctlPath, 'detach', '--force', device]);
      expect((await doctor()).code).to.equal(0);
    } finally {
      await volume.remove();
    }
  });
});

describe('iserctl bench over iSER', () => {
  it('measures a logical unit', async () => {
    const argv = ['bench', await targets.variable('lio_iser_url'), '--seconds', '3', '--json'];
    const { code, stdout, stderr } = await iserctl(...argv, ...initiatorOptions());
    expect(code, stderr).to.equal(0);
    const { workloads } = JSON.parse(stdout) as { workloads: { requests: number }[] };
    expect(workloads).to.have.length(4);
    for (const { requests } of workloads) expect(requests).to.be.above(0);
  });
});
