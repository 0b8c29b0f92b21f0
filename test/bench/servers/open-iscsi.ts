/** The kernel's own initiators, as the line without an NBD hop: iscsid logs in, ib_iser and iscsi_tcp carry the I/O to /dev/sdX. */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseTargetUrl } from '../../../src/iscsi/url.ts';
import { runOk } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import {
  collectStderr,
  startTimeoutMs,
  type Server,
  type Transport,
  type Volumes,
} from './server.ts';

/** iscsiadm's words for interface and driver. */
const interfaces: Readonly<Record<Transport, { name: string; driver: string; module: string }>> = {
  TCP: { name: 'default', driver: 'tcp', module: 'iscsi_tcp' },
  iSER: { name: 'iser', driver: 'iser', module: 'ib_iser' },
};

/** Its default, 32 commands per unit, would cut off what the others are asked for at depth 64. */
const queueDepth = 128;

const sessionsInSysfs = '/sys/class/iscsi_session';
let iscsid: Promise<void> | undefined;
let iscsidSays = (): string => '';

/** One session with all volumes of the target. Only for the VM: it changes /etc/iscsi and leaves iscsid to the guest's end. */
export async function startOpenIscsi(volumes: Volumes, transport: Transport): Promise<Server> {
  iscsid ??= startIscsid(volumes.initiatorName);
  await iscsid;
  const { name, driver, module } = interfaces[transport];
  await runOk('modprobe', [module]);
  const urls = volumes.urls.map((url) => parseTargetUrl(url));
  const { host, port, targetName = '' } = urls[0];
  const node = ['-m', 'node', '-T', targetName, '-p', `${host}:${port}`, '-I', name];
  const admin = (...argv: readonly string[]): Promise<string> =>
    runOk('iscsiadm', [...node, ...argv], { timeoutMs: startTimeoutMs });
  await admin('-o', 'new');
  await admin('-o', 'update', '-n', 'node.session.queue_depth', '-v', `${queueDepth}`);
  await admin('--login');
  const session = await findSession(driver, `${host}:${port}`, targetName);
  const disks: { device: string }[] = [];
  for (const { lun = 0 } of urls) {
    await waitUntil(
      `LUN ${lun} of ${targetName} is a disk`,
      () => diskOf(session, lun) !== undefined,
      startTimeoutMs,
    );
    disks.push({ device: `/dev/${diskOf(session, lun) ?? ''}` });
  }
  return { disks, pids: [], complaints: iscsidComplaints };
}

/** Without what is no complaint: that a connection works and, over iSER, that no thread was found whose priority to set. */
function iscsidComplaints(): string {
  return iscsidSays()
    .split('\n')
    .filter(
      (line) => line !== '' && !/operational now|Could not set session\d+ priority/.test(line),
    )
    .join('\n');
}

async function startIscsid(initiatorName: string): Promise<void> {
  // No udev asks for the disk driver here.
  for (const module of ['scsi_transport_iscsi', 'sd_mod']) await runOk('modprobe', [module]);
  writeFileSync('/etc/iscsi/initiatorname.iscsi', `InitiatorName=${initiatorName}\n`);
  mkdirSync('/run/lock/iscsi', { recursive: true });
  const child = spawn('iscsid', ['--foreground'], { stdio: ['ignore', 'ignore', 'pipe'] });
  iscsidSays = collectStderr(child);
  let failure: string | undefined;
  child.on('error', (error) => {
    failure = error.message;
  });
  child.on('exit', () => {
    failure = `iscsid has ended: ${iscsidSays()}`;
  });
  await waitUntil('iscsid listens to iscsiadm', () => {
    if (failure !== undefined) throw new Error(failure);
    return readFileSync('/proc/net/unix', 'utf8').includes('@ISCSIADM_ABSTRACT_NAMESPACE');
  });
}

/** The kernel's name of a session. Lines of iscsiadm: "iser: [2] 10.9.9.1:3260,1 iqn… (non-flash)". */
async function findSession(driver: string, portal: string, targetName: string): Promise<string> {
  const listing = await runOk('iscsiadm', ['-m', 'session']);
  const line = listing
    .split('\n')
    .find(
      (each) =>
        each.startsWith(`${driver}: [`) &&
        each.includes(`${portal},`) &&
        each.includes(` ${targetName} `),
    );
  const number = /\[(\d+)\]/.exec(line ?? '')?.[1];
  if (number === undefined) throw new Error(`no session with ${targetName} in:\n${listing}`);
  return `session${number}`;
}

/** sda, once the unit has been scanned: …/device/target2:0:0/2:0:0:1/block/sda */
function diskOf(session: string, lun: number): string | undefined {
  const device = `${sessionsInSysfs}/${session}/device`;
  for (const target of entriesOf(device).filter((name) => name.startsWith('target')))
    for (const unit of entriesOf(`${device}/${target}`))
      if (unit.endsWith(`:${lun}`)) return entriesOf(`${device}/${target}/${unit}/block`)[0];
  return undefined;
}

/** A directory of sysfs may not be there yet. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
