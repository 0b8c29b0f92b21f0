/** Who would see I/O errors if a block device went away now. */
import { constants } from 'node:fs';
import { open, readdir, readFile, readlink } from 'node:fs/promises';

/** Files and directories of the kernel, so that tests can stand in for them. Each rejects like node:fs. */
export interface DeviceFiles {
  readFile(path: string): Promise<string>;
  readDirectory(path: string): Promise<string[]>;
  readLink(path: string): Promise<string>;
  /** Opens for exclusive use and closes: EBUSY when the kernel itself (a mount, swap, device mapper) has claimed the device. */
  claim(path: string): Promise<void>;
}

export const realFiles: DeviceFiles = {
  readFile: (path) => readFile(path, 'utf8'),
  readDirectory: (path) => readdir(path),
  readLink: (path) => readlink(path),
  claim: async (path) => {
    const file = await open(path, constants.O_RDONLY | constants.O_EXCL);
    await file.close();
  },
};

/** Uses of /dev/`name` or of a partition of it, in words; empty when there is none that we can see. */
export async function deviceUsers(name: string, files = realFiles): Promise<string[]> {
  const names = new Set([name, ...(await partitions(name, files))]);
  const found = [
    ...(await mounts(names, files)),
    ...(await swaps(names, files)),
    ...(await holders(names, files)),
    ...(await openers(names, files)),
  ];
  if (found.length > 0) return found;
  // Other mount namespaces are not ours to see, but what they have mounted is claimed.
  return (await isClaimed(`/dev/${name}`, files)) ? ['claimed within the kernel'] : [];
}

async function partitions(name: string, files: DeviceFiles): Promise<string[]> {
  return (await list(`/sys/block/${name}`, files)).filter((entry) => entry.startsWith(`${name}p`));
}

/** proc(5), mountinfo: "36 35 43:0 / /mnt rw,noatime - ext4 /dev/nbd0 rw". */
async function mounts(names: ReadonlySet<string>, files: DeviceFiles): Promise<string[]> {
  const numbers = new Set<string>();
  for (const name of names) {
    const number = await read(`/sys/class/block/${name}/dev`, files);
    if (number !== '') numbers.add(number.trim());
  }
  return (await read('/proc/self/mountinfo', files)).split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const isOurs = numbers.has(fields[2]) || names.has(deviceName(mountSource(fields)));
    return isOurs ? [`mounted on ${unescapeOctal(fields[4])}`] : [];
  });
}

function mountSource(fields: readonly string[]): string {
  return fields.at(fields.indexOf('-') + 2) ?? '';
}

/** Blanks and the like in a path of mountinfo are \ooo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

async function swaps(names: ReadonlySet<string>, files: DeviceFiles): Promise<string[]> {
  const lines = (await read('/proc/swaps', files)).split('\n');
  return lines.some((line) => names.has(deviceName(line.split(/\s/)[0]))) ? ['swap space'] : [];
}

/** Device mapper, RAID: "dm-0". */
async function holders(names: ReadonlySet<string>, files: DeviceFiles): Promise<string[]> {
  const found: string[] = [];
  for (const name of names)
    for (const holder of await list(`/sys/class/block/${name}/holders`, files))
      found.push(`held by ${holder}`);
  return found;
}

/** Processes with the device open. */
async function openers(names: ReadonlySet<string>, files: DeviceFiles): Promise<string[]> {
  const found: string[] = [];
  for (const process of await list('/proc', files)) {
    if (!/^\d+$/.test(process)) continue;
    for (const fd of await list(`/proc/${process}/fd`, files)) {
      if (!names.has(deviceName(await link(`/proc/${process}/fd/${fd}`, files)))) continue;
      const command = (await read(`/proc/${process}/comm`, files)).trim();
      found.push(`open in process ${process} (${command})`);
      break;
    }
  }
  return found;
}

function deviceName(path: string): string {
  return path.startsWith('/dev/') ? path.slice('/dev/'.length) : '';
}

async function isClaimed(path: string, files: DeviceFiles): Promise<boolean> {
  try {
    await files.claim(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBUSY';
  }
}

/** Things under /proc come and go, and some are not ours to read: what cannot be read says nothing. */
function read(path: string, files: DeviceFiles): Promise<string> {
  return files.readFile(path).catch(() => '');
}

function list(path: string, files: DeviceFiles): Promise<string[]> {
  return files.readDirectory(path).catch(() => []);
}

function link(path: string, files: DeviceFiles): Promise<string> {
  return files.readLink(path).catch(() => '');
}
