/** Which volumes there are: those of the configuration's files, as they were read last, and those attached at run time. */
import { CodedError, ConfigurationError } from '../src/errors.ts';
import { Attachments } from './attachments.ts';
import type { Config } from './config/schema.ts';
import type { AttachResult, ReloadResult } from './control/messages.ts';
import type { Logger } from './logging.ts';
import { Reloader } from './reload.ts';
import type { RuntimeVolumes } from './restart/runtime-volumes.ts';
import type { Supervisor } from './supervisor.ts';
import { VolumeCatalog } from './volume/catalog.ts';
import { isSameUnit } from './volume/diff.ts';
import { forgetSecrets, planVolume, type ConfigPlan, type VolumePlan } from './volume/plan.ts';
import type { VolumeSpec } from './volume/spec.ts';

export interface LiveConfigurationOptions {
  readonly plan: ConfigPlan;
  /** Reads the files again; undefined: there are none, and nothing can be changed. */
  readonly load: (() => ConfigPlan) | undefined;
  readonly kept: RuntimeVolumes;
  readonly supervisor: Pick<Supervisor, 'apply' | 'volume'>;
  readonly logger: Logger;
  /** Takes up what is no volume's and needs no restart. */
  readonly adopt: (before: Config, after: Config) => Promise<void>;
}

export class LiveConfiguration {
  readonly #options: LiveConfigurationOptions;
  readonly #catalog = new VolumeCatalog();
  readonly #reloader: Reloader | undefined;
  readonly #attachments: Attachments | undefined;

  constructor(options: LiveConfigurationOptions) {
    const { plan, load, kept, supervisor, logger, adopt } = options;
    this.#options = options;
    if (load === undefined) return;
    const catalog = this.#catalog;
    const { config } = plan;
    const onAdopted = (name: string): void => {
      kept.remove(name);
    };
    const reloader = new Reloader({
      ...{ load, config, supervisor, catalog, onAdopted, adopt, logger },
    });
    this.#reloader = reloader;
    this.#attachments = new Attachments({
      config: () => reloader.config,
      ...{ supervisor, catalog, kept, logger },
    });
  }

  /** What the daemon starts with. Volumes that were attached before a restart come first: they may be in use. */
  initialSpecs(): VolumeSpec[] {
    const { plan, load } = this.#options;
    if (load !== undefined) this.#takeKept(plan);
    for (const volume of plan.volumes) {
      const obstacle = this.#catalog.obstacle(volume.config, 'runtime');
      if (obstacle === undefined) this.#catalog.set(volume, 'configuration');
      else this.#leaveOut(volume, obstacle);
    }
    return [...this.#catalog.of('configuration'), ...this.#catalog.of('runtime')].map(
      (entry) => entry.plan.spec,
    );
  }

  async reload(force: boolean): Promise<ReloadResult> {
    return (this.#reloader ?? refuse()).reload(force);
  }

  async attach(keys: Readonly<Record<string, unknown>>): Promise<AttachResult> {
    return (this.#attachments ?? refuse()).attach(keys);
  }

  async detach(name: string, force: boolean): Promise<{ readonly configured: boolean }> {
    return (this.#attachments ?? refuse()).detach(name, force);
  }

  /** When all volumes have stopped: overwrites their secrets. */
  close(): void {
    this.#catalog.close();
  }

  #takeKept({ config, volumes: configured }: ConfigPlan): void {
    const { kept, logger } = this.#options;
    const { volumes, problems } = kept.read();
    for (const problem of problems)
      logger.error(`a volume attached before is left out: ${problem}`);
    for (const located of volumes) {
      const { name } = located.config;
      const same = configured.find((volume) => volume.config.name === name);
      if (same !== undefined && isSameUnit(same.config, located.config)) {
        kept.remove(name);
        continue;
      }
      try {
        const plan = planVolume(located.config, config);
        const obstacle = this.#catalog.obstacle(located.config);
        if (obstacle === undefined) this.#catalog.set(plan, 'runtime');
        else this.#leaveOut(plan, obstacle);
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error;
        logger.error(`volume ${name}, attached before, is left out: ${error.message}`);
      }
    }
  }

  #leaveOut(plan: VolumePlan, obstacle: string): void {
    forgetSecrets([plan.spec]);
    this.#options.logger.error(`volume ${plan.config.name} is left out: ${obstacle}`);
  }
}

function refuse(): never {
  throw new CodedError(
    'no-configuration',
    'this daemon serves what its command line says; volumes come and go in one that was started with "iserd --config FILE"',
  );
}
