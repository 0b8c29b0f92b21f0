/** What has to be done to volumes that are served, so that they become those of a configuration. */
import { isDeepStrictEqual } from 'node:util';
import type { VolumeConfig } from '../config/schema.ts';
import type { VolumePlan } from './plan.ts';

/**
 * What a change of a key costs:
 * - live: nothing, clients and kernel notice nothing;
 * - login: the volume logs in anew, clients of its sockets are disconnected, a kernel device stays and its I/O waits meanwhile;
 * - device: the volume becomes another one for the kernel: its device must be free.
 */
export const ChangeEffect = { live: 'live', login: 'login', device: 'device' } as const;
export type ChangeEffect = (typeof ChangeEffect)[keyof typeof ChangeEffect];

/** What a URL's target name and LUN cost is in `urlEffect`. */
const effects: Readonly<Record<keyof VolumeConfig, ChangeEffect>> = {
  name: 'device',
  url: 'login',
  portals: 'login',
  device: 'device',
  socket: 'live',
  socket_mode: 'live',
  socket_group: 'live',
  listen: 'live',
  tls_certificate: 'live',
  tls_key: 'live',
  tls_client_ca: 'live',
  lanes: 'login',
  dead_conn_timeout: 'login',
  force_detach: 'live',
  required: 'live',
  read_only: 'device',
  chap_user: 'login',
  chap_secret_file: 'login',
  mutual_chap_user: 'login',
  mutual_chap_secret_file: 'login',
  header_digest: 'login',
  data_digest: 'login',
  replacement_timeout: 'login',
  command_timeout: 'login',
  login_timeout: 'login',
  nop_interval: 'login',
  nop_timeout: 'login',
};

/** What the places where clients come in are made from. */
const doorKeys = [
  'socket',
  'socket_mode',
  'socket_group',
  'listen',
  'tls_certificate',
  'tls_key',
  'tls_client_ca',
] as const;

const strength = [ChangeEffect.live, ChangeEffect.login, ChangeEffect.device] as const;

export type VolumeChange =
  | { readonly kind: 'added'; readonly name: string; readonly plan: VolumePlan }
  | { readonly kind: 'unchanged'; readonly name: string; readonly plan: VolumePlan }
  | { readonly kind: 'removed'; readonly name: string }
  | {
      readonly kind: 'changed';
      readonly name: string;
      readonly plan: VolumePlan;
      /** What differs; a key of a file also when only the file's content does. */
      readonly keys: readonly string[];
      readonly effect: ChangeEffect;
    };

export interface RunningVolume {
  readonly plan: VolumePlan;
  /** "/dev/nbdN" while it has one. */
  readonly devicePath: string | undefined;
  /** Doors of it could not be opened, and are to be tried again. */
  readonly isIncomplete?: boolean;
}

/** In the order of `wanted`, then those that are wanted no more. Volumes are told by name. */
export function diffVolumes(
  running: readonly RunningVolume[],
  wanted: readonly VolumePlan[],
): VolumeChange[] {
  const before = new Map(running.map((volume) => [volume.plan.config.name, volume]));
  const names = new Set(wanted.map(({ config }) => config.name));
  return [
    ...wanted.map((plan) => changeOf(before.get(plan.config.name), plan)),
    ...[...before.keys()]
      .filter((name) => !names.has(name))
      .map((name): VolumeChange => ({ kind: 'removed', name })),
  ];
}

function changeOf(before: RunningVolume | undefined, plan: VolumePlan): VolumeChange {
  const { name } = plan.config;
  if (before === undefined) return { kind: 'added', name, plan };
  const changed = changedKeys(before, plan);
  if (changed.size === 0) return { kind: 'unchanged', name, plan };
  const effect = strength.findLast((each) => [...changed.values()].includes(each));
  return {
    kind: 'changed',
    name,
    plan,
    keys: [...changed.keys()],
    effect: effect ?? ChangeEffect.live,
  };
}

function changedKeys(
  { plan: old, devicePath, isIncomplete = false }: RunningVolume,
  plan: VolumePlan,
): Map<string, ChangeEffect> {
  const changed = new Map<string, ChangeEffect>();
  for (const key of Object.keys(effects) as (keyof VolumeConfig)[]) {
    if (isDeepStrictEqual(old.config[key], plan.config[key])) continue;
    changed.set(key, effects[key]);
  }
  if (changed.has('url')) changed.set('url', urlEffect(old.config, plan.config));
  // To name the device that the volume has anyway changes nothing for the kernel.
  if (changed.has('device') && plan.config.device === devicePath) changed.set('device', 'live');
  const [oldSession] = old.spec.sessions;
  const [session] = plan.spec.sessions;
  if (session.initiatorName !== oldSession.initiatorName) changed.set('initiator.name', 'login');
  if (!isDeepStrictEqual(session.chap, oldSession.chap)) changed.set('chap_secret_file', 'login');
  if (!isDeepStrictEqual(session.mutualChap, oldSession.mutualChap))
    changed.set('mutual_chap_secret_file', 'login');
  const hasOtherKeys = doorKeys.some((key) => changed.has(key));
  if (!hasOtherKeys && !isDeepStrictEqual(old.spec.places, plan.spec.places))
    changed.set('tls_certificate', 'live');
  if (changed.size === 0 && isIncomplete) changed.set('socket', 'live');
  return changed;
}

function urlEffect(before: VolumeConfig, after: VolumeConfig): ChangeEffect {
  return isSameUnit(before, after) ? ChangeEffect.login : ChangeEffect.device;
}

/** The same logical unit, maybe by another way. */
export function isSameUnit({ url: one }: VolumeConfig, { url: other }: VolumeConfig): boolean {
  return one.targetName === other.targetName && one.lun === other.lun;
}
