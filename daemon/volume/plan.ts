/** A volume as a configuration wants it, with everything read that its keys point to: secrets, certificates. */
import { ConfigurationError } from '../../src/errors.ts';
import { volumeProblem, type ConfigReading } from '../config/load.ts';
import type { Config, VolumeConfig } from '../config/schema.ts';
import { forget } from '../config/secret.ts';
import { readSecretFile } from '../config/secret-file.ts';
import type { ChapAccount } from '../lane/messages.ts';
import type { ListenPlace } from '../socket-listener.ts';
import { tlsFingerprint } from '../tls/material.ts';
import { defaultInitiatorName, makeVolumeSpec, type VolumeSpec } from './spec.ts';

export interface VolumePlan {
  readonly config: VolumeConfig;
  readonly spec: VolumeSpec;
}

/** Throws ConfigurationError that names the file that cannot be used. */
export function planVolume(volume: VolumeConfig, config: Pick<Config, 'initiator'>): VolumePlan {
  const chap = account(volume.chap_user, volume.chap_secret_file);
  try {
    const mutualChap = account(volume.mutual_chap_user, volume.mutual_chap_secret_file);
    const initiatorName = config.initiator.name ?? defaultInitiatorName();
    const spec = makeVolumeSpec({ initiatorName, volume, chap, mutualChap, stableIsid: true });
    return { config: volume, spec: { ...spec, places: spec.places.map(withFingerprint) } };
  } catch (error) {
    forget(chap?.secret);
    throw error;
  }
}

/** A configuration that a daemon could run. */
export interface ConfigPlan {
  readonly config: Config;
  readonly volumes: readonly VolumePlan[];
}

/** Throws ConfigurationError with everything that is wrong with the files, and with those that they name; then no secret stays in memory. */
export function planConfig({ config, volumes, problems: found }: ConfigReading): ConfigPlan {
  const problems = [...found];
  const plans = volumes.flatMap((located): VolumePlan[] => {
    try {
      return [planVolume(located.config, config ?? { initiator: {} })];
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      const { message } = error;
      problems.push(volumeProblem(located, keyOf(located.config, message), message));
      return [];
    }
  });
  if (config !== undefined && problems.length === 0) return { config, volumes: plans };
  forgetSecrets(plans.map(({ spec }) => spec));
  throw new ConfigurationError('config-invalid', problems.join('\n'));
}

/** Overwrites the secrets of volumes that are no more. */
export function forgetSecrets(specs: readonly VolumeSpec[]): void {
  for (const { chap, mutualChap } of specs.flatMap(({ sessions }) => sessions))
    forget(chap?.secret, mutualChap?.secret);
}

/** The key whose file the message is about. */
function keyOf(volume: VolumeConfig, message: string): keyof VolumeConfig {
  const keys = [
    'mutual_chap_secret_file',
    'chap_secret_file',
    'tls_certificate',
    'tls_key',
    'tls_client_ca',
  ] as const;
  return keys.find((key) => message.includes(volume[key] ?? '\0')) ?? 'name';
}

function account(
  user: string | undefined,
  secretFile: string | undefined,
): ChapAccount | undefined {
  if (user === undefined || secretFile === undefined) return undefined;
  return { user, secret: readSecretFile(secretFile) };
}

function withFingerprint(place: ListenPlace): ListenPlace {
  if (typeof place !== 'object' || !('tls' in place)) return place;
  return { ...place, tls: { ...place.tls, fingerprint: tlsFingerprint(place.tls) } };
}
