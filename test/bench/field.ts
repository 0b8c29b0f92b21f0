/** Who is measured side by side: iserd and its peers, or iserd configured in several ways. */
import type { PlaceName } from './places.ts';
import type { ServerName, Transport } from './servers/server.ts';

/** A way to configure iserd. */
export interface Variant {
  /** Part of labels, and of volume names. */
  readonly name: string;
  /** Tables of its TOML file. */
  readonly configuration: string;
}

/** A server of a target's units. */
interface UnitServerKind {
  readonly name: Exclude<ServerName, 'epoll'>;
  readonly transport: Transport;
  /** iserd's alone. */
  readonly variant?: Variant;
}

/** A server with nothing behind its NBD side. */
interface HopServerKind {
  readonly name: Extract<ServerName, 'iserd' | 'epoll'>;
  readonly transport: 'NBD';
  readonly variant?: never;
}

export type ServerKind = UnitServerKind | HopServerKind;

export const fieldNames = ['peers', 'polling'] as const;
export type FieldName = (typeof fieldNames)[number];

const polling = [0, 100, 400, 1000].map((microseconds) => ({
  name: `spin-${microseconds}`,
  configuration: `[lanes]\nspin_us = ${microseconds}`,
}));

const hopServers: readonly ServerKind[] = [
  { name: 'iserd', transport: 'NBD' },
  { name: 'epoll', transport: 'NBD' },
];

/** "iserd TCP", "iserd spin-50 TCP": the transport comes last. */
export function labelOf({ name, transport, variant }: ServerKind): string {
  return [name, variant?.name, transport].filter((word) => word !== undefined).join(' ');
}

/** What labelOf has put together; `server` with its variant. */
export function parseLabel(label: string): { readonly server: string; readonly transport: string } {
  const space = label.lastIndexOf(' ');
  return { server: label.slice(0, space), transport: label.slice(space + 1) };
}

/** In the order in which charts and tables show them. The place `hop` has its peers and no other field. */
export function serversOf(place: PlaceName, field: FieldName): ServerKind[] {
  if (place === 'hop') return [...hopServers];
  const transports: readonly Transport[] = place === 'host' ? ['TCP'] : ['iSER', 'TCP'];
  return transports.flatMap((transport): ServerKind[] => {
    const peers: ServerKind[] = [{ name: 'qemu-nbd', transport }];
    switch (field) {
      case 'peers':
        if (place !== 'host') peers.push({ name: 'open-iscsi', transport });
        return [{ name: 'iserd', transport }, ...peers];
      case 'polling':
        return [
          ...polling.map((variant): ServerKind => ({ name: 'iserd', transport, variant })),
          ...peers,
        ];
    }
  });
}

/** Each variant has units of its own: to iserd a unit is one volume, whichever daemon serves it. Its number among all variants. */
export function shareOf(kind: ServerKind, kinds: readonly ServerKind[]): number {
  return variantNames(kinds).indexOf(kind.variant?.name);
}

export function shareCount(kinds: readonly ServerKind[]): number {
  return variantNames(kinds).length;
}

function variantNames(kinds: readonly ServerKind[]): (string | undefined)[] {
  return [...new Set(kinds.map(({ variant }) => variant?.name))];
}
