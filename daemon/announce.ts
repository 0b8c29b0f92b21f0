import type { Front } from './cli/serve-config.ts';
import type { Logger } from './logging.ts';
import type { TcpPlace } from './socket-listener.ts';
import type { Volume } from './volume/volume.ts';

/** A line on standard output, for people and scripts: what can be used now. */
export function announce(volume: Volume, front: Front, logger: Logger): void {
  const { devicePath, spec } = volume;
  const uri =
    spec.socket === undefined ? undefined : `nbd+unix:///${spec.name}?socket=${spec.socket}`;
  logger.info('serving', { volume: spec.name, target: spec.target, device: devicePath, uri });
  if (front === 'stdio') return;
  const parts = [`ready ${spec.name}`];
  if (devicePath !== undefined) parts.push(`device=${devicePath}`);
  if (uri !== undefined) parts.push(`uri=${uri}`);
  for (const place of spec.places)
    if (typeof place === 'object' && 'address' in place)
      parts.push(`tcp=${uriOf(place, spec.name)}`);
  process.stdout.write(`${parts.join(' ')}\n`);
}

/** As NBD clients want it: nbds:// with TLS. */
function uriOf({ address, port, tls }: TcpPlace, name: string): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return `${tls === undefined ? 'nbd' : 'nbds'}://${host}:${port}/${name}`;
}
