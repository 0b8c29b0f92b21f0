/** `iserctl detach`: a volume by its daemon; a device without one, because that is when it is needed. */
import { CodedError, ConfigurationError } from '../../src/errors.ts';
import { parseDevice } from '../device/attributes.ts';
import { realSurroundings, SysfsDevice, type Surroundings } from '../device/sysfs.ts';
import { DeviceRecords } from '../restart/device-records.ts';
import { deviceUsers } from '../restart/device-users.ts';
import { runtimeDirectory } from '../restart/runtime-directory.ts';
import { VolumeLocks } from '../restart/volume-locks.ts';
import { system, type System } from '../system.ts';
import { callControl } from '../control/client.ts';
import { detachResult } from '../control/messages.ts';
import { controlSocketOption, defineCommand } from './options.ts';

export const detachCommand = defineCommand({
  command: 'detach <what>',
  describe:
    'serve a volume no more, or give up a kernel device that has been left without a daemon',
  builder: (builder) =>
    builder
      .positional('what', {
        type: 'string',
        demandOption: true,
        describe: 'name of a volume, or /dev/nbdN',
      })
      .options(controlSocketOption)
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'even while the device is in use or served: its I/O ends with errors',
      })
      .example('$0 detach data', 'when nobody uses it')
      .example('$0 detach --force /dev/nbd0', 'end the wait of processes for a lost device'),
  handler: ({ what, force, socket }) =>
    what.startsWith('/')
      ? detachDevice({ device: what, force })
      : detachVolume({ name: what, force, socket }),
});

async function detachVolume({
  name,
  force,
  socket,
}: {
  readonly name: string;
  readonly force: boolean;
  readonly socket: string;
}): Promise<void> {
  const answer = await callControl(socket, 'detach', { name, force });
  const { configured } = detachResult.parse(answer);
  process.stdout.write(
    configured
      ? `${name} is detached; it is in the configuration: "iserctl reload" or the next start brings it back\n`
      : `${name} is detached\n`,
  );
}

export interface DetachSurroundings {
  readonly calls: Pick<System, 'closeFd' | 'lockFile' | 'nbdDisconnect'>;
  readonly surroundings: Surroundings;
  readonly usersOf: (name: string) => Promise<string[]>;
  /** Of the daemons. */
  readonly directory: string;
  readonly print: (text: string) => void;
}

const realDetachSurroundings = (): DetachSurroundings => ({
  calls: system,
  surroundings: realSurroundings,
  usersOf: deviceUsers,
  directory: runtimeDirectory(),
  print: (text) => process.stdout.write(text),
});

const releaseTimeoutMs = 2000;

/** Rejects with a CodedError when the device is not iserd's, or (without `force`) when somebody uses or serves it. */
export async function detachDevice(
  { device, force }: { readonly device: string; readonly force: boolean },
  around = realDetachSurroundings(),
): Promise<void> {
  const index = parseDevice(device);
  if (index === undefined)
    throw new ConfigurationError('device-name', `device: "${device}" is not "/dev/nbdN"`);
  const sysfs = new SysfsDevice(index, around.surroundings);
  const backend = await sysfs.backend();
  if (backend?.startsWith('iserd:') !== true)
    throw new CodedError('device-not-ours', `${device} is not attached by iserd`);
  if (!force) {
    const users = await around.usersOf(`nbd${index}`);
    if (users.length > 0)
      throw new CodedError(
        'device-in-use',
        `${device} is in use (${users.join(', ')}); --force ends its I/O with errors`,
      );
    refuseServed(backend, around);
  }
  await around.calls.nbdDisconnect(index);
  new DeviceRecords(`${around.directory}/devices`).remove(index);
  const isIdle = await sysfs.waitUntil(async () => !(await sysfs.attached()), releaseTimeoutMs);
  around.print(
    isIdle
      ? `${device} is detached\n`
      : `${device} is detached; it can be used again when its last user has closed it\n`,
  );
}

function refuseServed(backend: string, { calls, directory }: DetachSurroundings): void {
  const inheritance = { take: () => undefined };
  new VolumeLocks({ directory: `${directory}/locks`, inheritance, calls }).take(backend).release();
}
