/** What an administrator does with the service, in words of systemctl and journalctl. */
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { run, runOk, type Finished } from '../helpers/programs.ts';
import { waitUntil } from '../helpers/wait.ts';

/** Emulated, and with a machine that is busy with other things. */
export const systemctlTimeoutMs = 180_000;

export function systemctl(...argv: readonly string[]): Promise<Finished> {
  return run('systemctl', argv, { timeoutMs: systemctlTimeoutMs });
}

/** The same; a status other than 0 is an error that shows the service's log. */
export async function systemctlOk(...argv: readonly string[]): Promise<void> {
  const { code, stderr } = await systemctl(...argv);
  if (code !== 0) throw new Error(`systemctl ${argv.join(' ')}: ${stderr}\n${await journal()}`);
}

/** A property of iserd.service. */
export async function property(name: string): Promise<string> {
  return (
    await runOk('systemctl', ['show', '--value', '--property', name, 'iserd.service'])
  ).trim();
}

/** What the service has logged, in this boot or (-1) the one before. */
export function journal(boot = 0): Promise<string> {
  return runOk('journalctl', ['--no-pager', '--quiet', '-b', String(boot), '-u', 'iserd.service']);
}

/** Resolves when systemd says that the daemon serves. */
export function serving(): Promise<void> {
  return waitUntil(
    'iserd.service is active',
    async () => (await property('ActiveState')) === 'active',
    systemctlTimeoutMs,
  );
}

/** "/dev/nbdN" behind /dev/disk/by-iserd/`volume`; waits until udev has made the link. */
export async function deviceOf(volume: string): Promise<string> {
  const link = `/dev/disk/by-iserd/${volume}`;
  await runOk('udevadm', ['wait', '--timeout=60', link]);
  return `/dev/${basename(readlinkSync(link))}`;
}

/** Units that have failed. */
export async function failedUnits(): Promise<string> {
  return (await runOk('systemctl', ['list-units', '--failed', '--plain', '--no-legend'])).trim();
}
