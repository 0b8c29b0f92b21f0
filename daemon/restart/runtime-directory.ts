/** Where a daemon leaves what its successor must know: locks and records of devices. All of it is void after a boot. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Root has one directory, whatever its service manager says: two daemons must find each other's locks. */
export function runtimeDirectory(
  environment: NodeJS.ProcessEnv = process.env,
  uid = process.getuid?.() ?? 0,
): string {
  if (uid === 0) return '/run/iserd';
  // RUNTIME_DIRECTORY: systemd.exec(5), several separated by colons.
  const given = environment['RUNTIME_DIRECTORY']?.split(':')[0];
  if (given !== undefined && given !== '') return given;
  const session = environment['XDG_RUNTIME_DIR'];
  return session === undefined ? `/tmp/iserd-${uid}` : `${session}/iserd`;
}

/** Makes the directory `path` for nobody but us, in one that others may pass through (the control socket may be theirs, too). */
export function makePrivateDirectory(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  mkdirSync(path, { recursive: true, mode: 0o700 });
}
