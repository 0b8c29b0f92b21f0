/** `iserctl attach` and `detach`: volumes that come and go beside those of the configuration. */
import { CodedError } from '../src/errors.ts';
import { volumeSchema, type Config } from './config/schema.ts';
import type { AttachResult } from './control/messages.ts';
import type { Logger } from './logging.ts';
import type { RuntimeVolumes } from './restart/runtime-volumes.ts';
import type { Supervisor } from './supervisor.ts';
import type { VolumeCatalog } from './volume/catalog.ts';
import { forgetSecrets, planVolume } from './volume/plan.ts';

export interface AttachmentsOptions {
  /** As it is now. */
  readonly config: () => Pick<Config, 'initiator'>;
  readonly supervisor: Pick<Supervisor, 'apply' | 'volume'>;
  readonly catalog: VolumeCatalog;
  readonly kept: RuntimeVolumes;
  readonly logger: Logger;
}

export class Attachments {
  readonly #options: AttachmentsOptions;

  constructor(options: AttachmentsOptions) {
    this.#options = options;
  }

  /**
   * Serves one more volume, by the keys of a [[volume]]. Rejects, and has changed nothing, when they are not right (`invalid-volume`), clash
   * with another volume (`volume-exists`) or the first attempt to start it fails.
   */
  async attach(keys: Readonly<Record<string, unknown>>): Promise<AttachResult> {
    const { config, catalog, supervisor, kept, logger } = this.#options;
    const result = volumeSchema.safeParse(keys);
    if (!result.success) {
      const problems = result.error.issues.map(({ path, message }) =>
        path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`,
      );
      throw new CodedError('invalid-volume', problems.join('\n'));
    }
    const { name } = result.data;
    const obstacle = catalog.obstacle(result.data);
    if (obstacle !== undefined) throw new CodedError('volume-exists', obstacle);
    const plan = planVolume(result.data, config());
    catalog.set(plan, 'runtime');
    const failures = await supervisor.apply([{ kind: 'add', spec: plan.spec }], false);
    const failure = failures.get(name);
    if (failure !== undefined) {
      if (supervisor.volume(name)?.spec === plan.spec)
        await supervisor.apply([{ kind: 'remove', name }], true);
      if (catalog.get(name)?.plan === plan) catalog.remove(name);
      else forgetSecrets([plan.spec]);
      throw failure;
    }
    try {
      kept.write(name, keys);
    } catch (error) {
      logger.error(`a restart will forget volume ${name}: ${(error as Error).message}`);
    }
    const volume = supervisor.volume(name);
    return { name, device: volume?.devicePath ?? null, socket: plan.spec.socket ?? null };
  }

  /**
   * Serves a volume no more, wherever it came from. Rejects with `unknown-volume`, or without `force` with `volume-in-use`. Resolves with
   * whether the configuration will bring it back.
   */
  async detach(name: string, force: boolean): Promise<{ readonly configured: boolean }> {
    const { supervisor, catalog, kept } = this.#options;
    const failure = (await supervisor.apply([{ kind: 'remove', name }], force)).get(name);
    if (failure !== undefined) throw failure;
    const configured = catalog.get(name)?.origin === 'configuration';
    catalog.remove(name);
    kept.remove(name);
    return { configured };
  }
}
