import { expect } from 'chai';
import type { Finding } from '../../../../daemon/doctor/finding.ts';
import { checkRdma } from '../../../../daemon/doctor/rdma.ts';
import type { NativeRdmaDeviceState } from '../../../../src/reactor/native.ts';
import { FakeMachine } from '../../../helpers/fake-machine.ts';

const wants = { iser: true, device: false, odp: false };
const nobody = { iser: false, device: false, odp: false };

const port = (changes: Partial<NativeRdmaDeviceState['ports'][number]> = {}) => ({
  number: 1,
  active: true,
  ethernet: true,
  activeMtu: 4096,
  largestMtu: 4096,
  ...changes,
});
const adapter = (changes: Partial<NativeRdmaDeviceState> = {}): NativeRdmaDeviceState => ({
  name: 'mlx5_0',
  node: 'uverbs0',
  errno: 0,
  lackingForPaging: '',
  ports: [port()],
  ...changes,
});

/** A machine with one adapter in order. */
function machineWith(...devices: NativeRdmaDeviceState[]): FakeMachine {
  const machine = new FakeMachine({
    '/dev/infiniband/rdma_cm': '',
    '/sys/class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0': 'eth1\n',
    '/sys/class/infiniband/mlx5_0/ports/1/state': '1: DOWN',
    '/sys/class/infiniband/mlx5_0/ports/1/phys_state': '3: Disabled',
    '/sys/class/net/eth1/mtu': '9000',
  });
  machine.networks.set('eth1', ['10.0.0.5']);
  machine.devices = devices;
  return machine;
}

const messages = (findings: readonly Finding[]): string[] =>
  findings.map(({ level, message }) => `${level}: ${message}`);

describe('doctor: RDMA', () => {
  it('is content with an active port that has an address and large packets', () => {
    expect(messages(checkRdma(machineWith(adapter()), wants))).to.deep.equal([
      'ok: mlx5_0 port 1 is active: RoCE on eth1 (10.0.0.5)',
      'ok: mlx5_0 port 1 sends packets of 4096 bytes of at most 4096 (eth1 has MTU 9000)',
      'ok: mlx5_0 can register memory for paging on demand',
    ]);
  });

  it('misses a device only where iSER is wanted', () => {
    const machine = new FakeMachine();
    const [finding] = checkRdma(machine, wants);
    expect(finding.level).to.equal('wrong');
    expect(finding.cure).to.contain('rdma_rxe');
    expect(checkRdma(machine, nobody)[0].level).to.equal('note');
  });

  it('tells a device without user-space drivers from none', () => {
    const machine = new FakeMachine({ '/sys/class/infiniband/mlx5_0/node_type': '1: CA' });
    const [finding] = checkRdma(machine, wants);
    expect(finding.message).to.contain('mlx5_0, but programs cannot see it');
    expect(finding.cure).to.contain('ib_uverbs');
  });

  it('misses the connection manager', () => {
    const machine = machineWith(adapter());
    machine.files.delete('/dev/infiniband/rdma_cm');
    expect(checkRdma(machine, wants)[0]).to.include({ level: 'wrong', cure: 'modprobe rdma_ucm' });
    machine.refusals.set('/dev/infiniband/rdma_cm', 'EACCES');
    expect(checkRdma(machine, wants)[0].message).to.contain('cannot be opened (EACCES)');
  });

  it('says that a device file is closed to us', () => {
    const findings = checkRdma(machineWith(adapter({ errno: 13, ports: [] })), wants);
    expect(messages(findings)).to.deep.equal([
      'wrong: mlx5_0 cannot be used: /dev/infiniband/uverbs0 (EACCES)',
    ]);
  });

  it('says that no port is active', () => {
    const machine = machineWith(adapter({ ports: [port({ active: false })] }));
    const [finding] = checkRdma(machine, wants);
    expect(finding.level).to.equal('wrong');
    expect(finding.message).to.equal('mlx5_0 port 1 is not active: link DOWN, physically Disabled');
    expect(finding.cure).to.contain('ip link set eth1 up');
  });

  it('only notes an idle port beside an active one', () => {
    const ports = [port(), port({ number: 2, active: false, ethernet: false })];
    const findings = checkRdma(machineWith(adapter({ ports })), wants);
    const idle = findings.find(({ message }) => message.includes('port 2'));
    expect(idle?.level).to.equal('note');
    expect(idle?.cure).to.contain('subnet manager');
  });

  it('says that the interface has no address', () => {
    const machine = machineWith(adapter());
    machine.networks.clear();
    const [finding] = checkRdma(machine, wants);
    expect(finding.level).to.equal('wrong');
    expect(finding.message).to.contain('eth1 has no IP address or is down');
  });

  it('says that a port has no interface', () => {
    const machine = machineWith(adapter());
    machine.files.delete('/sys/class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0');
    expect(checkRdma(machine, wants)[0].message).to.contain('has no network interface');
  });

  it('finds the interface of a soft device and of an InfiniBand port', () => {
    const machine = machineWith(adapter({ ports: [port({ ethernet: false })] }));
    machine.files.delete('/sys/class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0');
    machine.add({ '/sys/class/infiniband/mlx5_0/device/net/ib0/mtu': '2044' });
    machine.networks.set('ib0', ['10.1.0.5']);
    expect(checkRdma(machine, wants)[0].message).to.contain('InfiniBand on ib0 (10.1.0.5)');
    machine.add({ '/sys/class/infiniband/mlx5_0/parent': 'eth1' });
    expect(checkRdma(machine, wants)[0].message).to.contain('on eth1');
  });

  it('notes small packets, and what would make them larger', () => {
    const device = adapter({ ports: [port({ activeMtu: 512 })] });
    const note = checkRdma(machineWith(device), wants).find(({ level }) => level === 'note');
    expect(note?.message).to.contain('packets of 512 bytes of at most 4096');
    expect(note?.message).to.contain('small packets cost speed');
    expect(note?.cure).to.contain('4200');
  });

  it('wants on-demand paging only where it is configured', () => {
    const machine = machineWith(adapter({ lackingForPaging: 'on-demand paging' }));
    const last = (odp: boolean) => checkRdma(machine, { ...wants, odp }).at(-1);
    expect(last(false)?.level).to.equal('ok');
    expect(last(true)).to.include({ level: 'wrong' });
    expect(last(true)?.cure).to.contain('registration = "cache"');
  });
});
