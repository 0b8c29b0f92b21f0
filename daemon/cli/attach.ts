import { resolve } from 'node:path';
import { ConfigurationError } from '../../src/errors.ts';
import { formatTargetUrl, parseTargetUrl } from '../../src/iscsi/url.ts';
import { digests, socketModes, volumeSchema } from '../config/schema.ts';
import { callControl } from '../control/client.ts';
import { attachResult } from '../control/messages.ts';
import { controlSocketOption, defineCommand, unitUrl } from './options.ts';

const text = { type: 'string', requiresArg: true } as const;
const seconds = { type: 'number', requiresArg: true } as const;

/** The keys of a [[volume]], with dashes. What is not given has the default that it has there. */
const volumeOptions = {
  device: {
    ...text,
    describe: 'auto, /dev/nbdN or none; default auto without --socket or --listen',
  },
  socket: { ...text, describe: 'listen for NBD clients on this Unix path' },
  'socket-mode': { choices: socketModes, describe: 'of its file; default 0600' },
  'socket-group': { ...text, describe: 'whose members may use it, too (mode 0660)' },
  listen: { ...text, describe: 'listen for NBD clients on ADDRESS:PORT: loopback, or with TLS' },
  'tls-certificate': { ...text, describe: 'PEM, ours' },
  'tls-key': { ...text, describe: 'PEM, its private key (mode 0600)' },
  'tls-client-ca': { ...text, describe: 'PEM, signer of the certificates that clients must have' },
  lanes: { type: 'number', requiresArg: true, describe: 'sessions, each on a thread of its own' },
  portal: {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'another portal of the target, host[:port]; may be repeated',
  },
  'read-only': { type: 'boolean', describe: 'refuse writes' },
  'chap-user': { ...text, describe: "default: the URL's user" },
  'chap-secret-file': { ...text, describe: 'file with the secret (mode 0600), read by the daemon' },
  'mutual-chap-user': { ...text, describe: 'the target must prove to be this user' },
  'mutual-chap-secret-file': { ...text, describe: 'with this secret' },
  'header-digest': { choices: digests, describe: 'TCP only' },
  'data-digest': { choices: digests, describe: 'TCP only' },
  'replacement-timeout': {
    ...seconds,
    describe: 'seconds to wait for a lost target before EIO; -1 for ever',
  },
  'command-timeout': { ...seconds, describe: 'seconds that the target may take for one command' },
  'login-timeout': { ...seconds, describe: 'seconds that one login may take' },
  'nop-interval': { ...seconds, describe: 'seconds of silence before the target is asked' },
  'nop-timeout': { ...seconds, describe: 'seconds that it has to answer' },
  'dead-conn-timeout': {
    ...seconds,
    describe: 'seconds that I/O of the device waits for a daemon to serve it again',
  },
  'force-detach': { type: 'boolean', describe: 'at the end detach the device even while in use' },
  required: { type: 'boolean', describe: 'a restarted daemon is ready only when it serves' },
} as const;

const fileKeys = [
  'socket',
  'tls_certificate',
  'tls_key',
  'tls_client_ca',
  'chap_secret_file',
  'mutual_chap_secret_file',
];

export const attachCommand = defineCommand({
  command: 'attach <name> <url>',
  describe: 'serve one more volume, until it is detached or the machine boots',
  builder: (builder) =>
    builder
      .positional('name', { type: 'string', demandOption: true, describe: 'of the volume' })
      .positional('url', unitUrl)
      .options(volumeOptions)
      .option('control', controlSocketOption.socket)
      .example(
        '$0 attach data iser://10.0.0.5/iqn.2026-11.org.example:disk/0',
        'as a kernel device',
      ),
  handler: async (options) => {
    const volume = volumeKeys(options);
    const result = attachResult.parse(await callControl(options.control, 'attach', { volume }));
    const { name, device, socket } = result;
    const places = [device, socket === null ? null : `nbd+unix:///${name}?socket=${socket}`];
    const shown = places.filter((place) => place !== null).join(' and ');
    process.stdout.write(`${name} is attached${shown === '' ? '' : `: ${shown}`}\n`);
  },
});

/** A [[volume]] as a file would have it. Throws ConfigurationError that names the option. */
export function volumeKeys(
  options: { readonly name: string; readonly url: string } & Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const { user, ...url } = parseTargetUrl(options.url);
  const keys: Record<string, unknown> = { name: options.name, url: formatTargetUrl(url) };
  for (const option of Object.keys(volumeOptions)) {
    const value = options[option];
    if (value === undefined) continue;
    const key = option === 'portal' ? 'portals' : option.replaceAll('-', '_');
    // The daemon has another working directory.
    keys[key] = fileKeys.includes(key) && typeof value === 'string' ? resolve(value) : value;
  }
  if (user !== undefined) keys['chap_user'] ??= user;
  const hasDoor = keys['socket'] !== undefined || keys['listen'] !== undefined;
  if (!hasDoor) keys['device'] ??= 'auto';
  const result = volumeSchema.safeParse(keys);
  if (result.success) return keys;
  const problems = result.error.issues.map(({ path, message }) => {
    const key = String(path.at(0) ?? '');
    return `${optionOf(key)}: ${message}`;
  });
  throw new ConfigurationError('attach-invalid', problems.join('\n'));
}

function optionOf(key: string): string {
  const names: Readonly<Record<string, string>> = { name: 'NAME', url: 'URL', portals: '--portal' };
  return names[key] ?? `--${key.replaceAll('_', '-')}`;
}
