import type { VolumeConfig } from './schema.ts';

/** What no two volumes can have. */
const exclusiveKeys = ['name', 'socket', 'device', 'listen'] as const;
export type ExclusiveKey = (typeof exclusiveKeys)[number];

export interface Clash {
  readonly key: ExclusiveKey;
  /** As it is shown to people. */
  readonly value: string;
  /** Of the volume that has it, and of a later one that wants it as well. */
  readonly first: number;
  readonly second: number;
}

/** Every name, socket, device and address that more than one of the volumes has. */
export function clashes(volumes: readonly VolumeConfig[]): Clash[] {
  return exclusiveKeys.flatMap((key) => {
    const holders = new Map<string, number>();
    return volumes.flatMap((volume, second): Clash[] => {
      const value = exclusiveValue(volume, key);
      if (value === undefined) return [];
      const first = holders.get(value);
      if (first !== undefined) return [{ key, value, first, second }];
      holders.set(value, second);
      return [];
    });
  });
}

function exclusiveValue(volume: VolumeConfig, key: ExclusiveKey): string | undefined {
  const value = volume[key];
  if (typeof value === 'object') return `${value.address} port ${value.port}`;
  return value === 'auto' || value === 'none' ? undefined : value;
}
