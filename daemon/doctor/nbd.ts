/** The kernel's NBD client. */
import { ok, wanted, wrong, type Finding, type Wants } from './finding.ts';
import type { Machine } from './machine.ts';

const loadCure =
  'modprobe nbd; for every boot: echo nbd > /etc/modules-load.d/nbd.conf (the Debian package does this)';

export async function checkNbd(machine: Machine, { device }: Wants): Promise<Finding[]> {
  if (machine.list('/sys/module/nbd').length === 0) return [notLoaded(machine, device)];
  const most = machine.read('/sys/module/nbd/parameters/nbds_max') ?? 'unknown';
  try {
    const devices = await machine.nbdStatus();
    const attached = devices.filter(({ connected }) => connected).length;
    const findings = [
      ok(`the nbd module is loaded: ${attached} devices attached (nbds_max ${most})`),
    ];
    return [...findings, ...checkNodes(machine, device)];
  } catch (error) {
    const { message } = error as Error;
    return [
      wanted(
        device,
        `the netlink interface of nbd does not answer: ${message}`,
        'Linux 4.12 or newer is needed, and the network namespace of the host',
      ),
    ];
  }
}

function notLoaded(machine: Machine, device: boolean): Finding {
  const modules = `/lib/modules/${machine.kernelRelease}`;
  const index = `${machine.read(`${modules}/modules.dep`) ?? ''}\n${machine.read(`${modules}/modules.builtin`) ?? ''}`;
  if (/\/nbd\.ko/.test(index)) {
    return wanted(device, 'the nbd module is not loaded', loadCure);
  }
  return wanted(
    device,
    `this kernel (${machine.kernelRelease}) has no nbd module: /dev/nbdN cannot be had, Unix sockets can`,
    'use a kernel with CONFIG_BLK_DEV_NBD (every Debian kernel), or serve the volume on a socket',
  );
}

function checkNodes(machine: Machine, device: boolean): Finding[] {
  const nodes = machine.list('/dev').filter((name) => /^nbd\d+$/.test(name));
  const refused = nodes.filter((name) => machine.access(`/dev/${name}`) !== '');
  if (refused.length === 0) return [];
  const reason = machine.access(`/dev/${refused[0]}`);
  return [
    wanted(
      device,
      `/dev/${refused[0]} cannot be opened (${reason})`,
      'run as root, or let the user of iserd read and write /dev/nbdN',
    ),
  ];
}

/** Devices of ours that nobody serves: whoever uses them waits. `served` are paths that a running daemon has. */
export function checkAbandoned(machine: Machine, served: ReadonlySet<string>): Finding[] {
  return machine
    .list('/sys/block')
    .filter((name) => /^nbd\d+$/.test(name) && !served.has(`/dev/${name}`))
    .filter((name) => machine.read(`/sys/block/${name}/backend`)?.startsWith('iserd:'))
    .filter((name) => machine.read(`/sys/block/${name}/pid`) !== undefined)
    .map((name) =>
      wrong(
        `/dev/${name} was left by an iserd and is served by none: its I/O waits`,
        `start iserd again with the same configuration, or give it up: iserctl detach --force /dev/${name}`,
      ),
    );
}
