/** RDMA: devices, ports, the network side of RoCE, MTU, device files. */
import { getSystemErrorName } from 'node:util';
import type { NativeRdmaDeviceState } from '../../src/reactor/native.ts';
import { note, ok, wanted, wrong, type Finding, type Wants } from './finding.ts';
import type { Machine } from './machine.ts';

type Port = NativeRdmaDeviceState['ports'][number];

const softRoce =
  'modprobe rdma_rxe && rdma link add rxe0 type rxe netdev INTERFACE makes a software device on any network card';
/** Below, the headers of each packet cost more than a tenth of what a busy link carries. */
const smallMtu = 1024;
const connectionManager = '/dev/infiniband/rdma_cm';

export function checkRdma(machine: Machine, wants: Wants): Finding[] {
  const { iser } = wants;
  const devices = machine.rdmaDevices();
  if (devices.length === 0) return [withoutDevice(machine, iser)];
  const somePortIsActive = devices.some(({ ports }) => ports.some(({ active }) => active));
  return [
    ...checkConnectionManager(machine, iser),
    ...devices.flatMap((device) => checkDevice(machine, device, wants, somePortIsActive)),
  ];
}

function withoutDevice(machine: Machine, iser: boolean): Finding {
  const unseen = machine.list('/sys/class/infiniband');
  if (unseen.length > 0) {
    return wanted(
      iser,
      `the kernel has the RDMA device ${unseen.join(', ')}, but programs cannot see it`,
      'modprobe ib_uverbs rdma_ucm, and install the user-space drivers (ibverbs-providers)',
    );
  }
  const message = 'there is no RDMA device: iscsi:// can be used here, iser:// cannot';
  return iser
    ? wanted(true, message, `load the driver of the adapter (mlx5_ib, irdma, …); or: ${softRoce}`)
    : note(message, softRoce);
}

function checkConnectionManager(machine: Machine, iser: boolean): Finding[] {
  const refusal = machine.access(connectionManager);
  if (refusal === '') return [];
  return refusal === 'ENOENT'
    ? [wanted(iser, `${connectionManager} is missing`, 'modprobe rdma_ucm')]
    : [wanted(iser, `${connectionManager} cannot be opened (${refusal})`, accessCure)];
}

const accessCure =
  'run as root, or let the user of iserd read and write it (a udev rule for /dev/infiniband)';

function checkDevice(
  machine: Machine,
  device: NativeRdmaDeviceState,
  { iser, odp }: Wants,
  somePortIsActive: boolean,
): Finding[] {
  const { name, node, errno, ports, lackingForPaging } = device;
  if (errno !== 0) {
    const reason = getSystemErrorName(-errno);
    return [
      wanted(iser, `${name} cannot be used: /dev/infiniband/${node} (${reason})`, accessCure),
    ];
  }
  const findings = ports.flatMap((port) =>
    port.active
      ? checkActivePort(machine, name, port, iser)
      : [inactive(machine, name, port, iser && !somePortIsActive)],
  );
  return [...findings, checkPaging(name, lackingForPaging, odp)];
}

/** Nothing but `registration = "odp"` needs it. */
function checkPaging(name: string, lacking: string, odp: boolean): Finding {
  if (lacking === '') return ok(`${name} can register memory for paging on demand`);
  const message = `${name} cannot register memory for paging on demand: it lacks ${lacking}`;
  return odp
    ? wrong(message, 'set [memory] registration = "cache"')
    : ok(`${message} (only registration = "odp" needs that)`);
}

function inactive(machine: Machine, name: string, port: Port, isWanted: boolean): Finding {
  const directory = `/sys/class/infiniband/${name}/ports/${port.number}`;
  const state = machine.read(`${directory}/state`)?.replace(/^\d+: /, '') ?? 'unknown';
  const physical = machine.read(`${directory}/phys_state`)?.replace(/^\d+: /, '') ?? 'unknown';
  const cure = port.ethernet
    ? `check cable and switch; ip link set ${networkSide(machine, name, port) ?? 'INTERFACE'} up`
    : 'check cable, switch and subnet manager (opensm)';
  const message = `${name} port ${port.number} is not active: link ${state}, physically ${physical}`;
  return wanted(isWanted, message, cure);
}

function checkActivePort(machine: Machine, name: string, port: Port, iser: boolean): Finding[] {
  const network = networkSide(machine, name, port);
  const link = port.ethernet ? 'RoCE' : 'InfiniBand';
  const what = `${name} port ${port.number}`;
  if (network === undefined) {
    return [
      wanted(
        iser,
        `${what} is active (${link}), but has no network interface: addresses cannot be resolved`,
        port.ethernet ? 'load the network driver of the adapter' : 'modprobe ib_ipoib',
      ),
    ];
  }
  const addresses = machine.addresses(network);
  if (addresses.length === 0) {
    return [
      wanted(
        iser,
        `${what} is active (${link}), but ${network} has no IP address or is down`,
        `ip link set ${network} up && ip address add ADDRESS/LENGTH dev ${network}`,
      ),
    ];
  }
  const findings = [ok(`${what} is active: ${link} on ${network} (${addresses.join(', ')})`)];
  return [...findings, checkMtu(machine, what, network, port)];
}

function checkMtu(machine: Machine, what: string, network: string, port: Port): Finding {
  const interfaceMtu = machine.read(`/sys/class/net/${network}/mtu`) ?? 'unknown';
  const { activeMtu, largestMtu } = port;
  const message = `${what} sends packets of ${activeMtu} bytes of at most ${largestMtu} (${network} has MTU ${interfaceMtu})`;
  if (activeMtu >= largestMtu) return ok(message);
  const cure = `an MTU of ${largestMtu + 104} or more on interface, switches and target gives packets of ${largestMtu}`;
  return note(activeMtu < smallMtu ? `${message}: small packets cost speed` : message, cure);
}

/** The network interface of a port. */
function networkSide(machine: Machine, name: string, port: Port): string | undefined {
  const directory = `/sys/class/infiniband/${name}`;
  const ofGids = `${directory}/ports/${port.number}/gid_attrs/ndevs`;
  for (const index of machine.list(ofGids)) {
    const found = machine.read(`${ofGids}/${index}`);
    if (found !== undefined && found !== '') return found;
  }
  // Soft devices name their interface; adapters are the same PCI device as theirs.
  const parent = machine.read(`${directory}/parent`);
  if (parent !== undefined) return parent;
  return machine.list(`${directory}/device/net`)[port.number - 1];
}
