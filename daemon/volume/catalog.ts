import type { VolumeConfig } from '../config/schema.ts';
import { clashes } from '../config/clashes.ts';
import { forgetSecrets, type VolumePlan } from './plan.ts';

/** Who has asked for a volume: the files of the configuration, or `iserctl attach`. */
export type VolumeOrigin = 'configuration' | 'runtime';

export interface CatalogEntry {
  readonly plan: VolumePlan;
  readonly origin: VolumeOrigin;
  /** Something of it could not be taken up, and is to be tried again. */
  readonly isIncomplete: boolean;
}

/** The volumes that the daemon serves or tries to, and the owner of their secrets. */
export class VolumeCatalog {
  readonly #entries = new Map<string, CatalogEntry>();

  get(name: string): CatalogEntry | undefined {
    return this.#entries.get(name);
  }

  of(origin: VolumeOrigin): CatalogEntry[] {
    return [...this.#entries.values()].filter((entry) => entry.origin === origin);
  }

  /** Replaces what has the same name. */
  set(plan: VolumePlan, origin: VolumeOrigin, isIncomplete = false): void {
    const { name } = plan.config;
    const before = this.#entries.get(name);
    if (before !== undefined && before.plan.spec.sessions !== plan.spec.sessions)
      forgetSecrets([before.plan.spec]);
    this.#entries.set(name, { plan, origin, isIncomplete });
  }

  remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry !== undefined) forgetSecrets([entry.plan.spec]);
    this.#entries.delete(name);
  }

  /** Why a volume cannot be there beside those of an origin, or of all; undefined: it can. */
  obstacle(wanted: VolumeConfig, origin?: VolumeOrigin): string | undefined {
    for (const entry of this.#entries.values()) {
      if (origin !== undefined && entry.origin !== origin) continue;
      const clash = clashes([entry.plan.config, wanted]).at(0);
      if (clash === undefined) continue;
      const { name } = entry.plan.config;
      const how = entry.origin === 'runtime' ? 'attached at run time' : 'of the configuration';
      return `${clash.key} "${clash.value}" belongs to volume ${name}, ${how}: "iserctl detach ${name}" frees it`;
    }
    return undefined;
  }

  /** At the end: overwrites every secret. */
  close(): void {
    forgetSecrets([...this.#entries.values()].map(({ plan }) => plan.spec));
    this.#entries.clear();
  }
}
