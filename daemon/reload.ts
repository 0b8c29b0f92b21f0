/** `iserctl reload`: the volumes that are served become those of the configuration, without disturbing the ones that stay as they are. */
import type { ReloadResult } from './control/messages.ts';
import type { Config } from './config/schema.ts';
import { restartKeys } from './config/restart-keys.ts';
import type { Logger } from './logging.ts';
import type { SpecChange, Supervisor } from './supervisor.ts';
import { CallQueue } from './system.ts';
import type { VolumeCatalog } from './volume/catalog.ts';
import {
  ChangeEffect,
  diffVolumes,
  isSameUnit,
  type RunningVolume,
  type VolumeChange,
} from './volume/diff.ts';
import { forgetSecrets, type ConfigPlan, type VolumePlan } from './volume/plan.ts';

export interface ReloaderOptions {
  /** Reads the files. Throws ConfigurationError with everything that is wrong. */
  readonly load: () => ConfigPlan;
  /** As the daemon was started with it. */
  readonly config: Config;
  readonly supervisor: Pick<Supervisor, 'apply' | 'volume'>;
  readonly catalog: VolumeCatalog;
  /** A volume that was attached at run time is the configuration's from now on. */
  readonly onAdopted: (name: string) => void;
  /** What is no volume's: takes up what a running daemon can. */
  readonly adopt: (before: Config, after: Config) => Promise<void>;
  readonly logger: Logger;
}

type Line = ReloadResult['volumes'][number];
type Effective = Exclude<VolumeChange, { readonly kind: 'unchanged' }>;

/** Failures of a change that was not begun. */
const refusals: ReadonlySet<string | undefined> = new Set(['volume-in-use', 'volume-busy']);

export class Reloader {
  readonly #options: ReloaderOptions;
  #config: Config;
  readonly #queue = new CallQueue();

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** As far as it has been taken up. */
  get config(): Config {
    return this.#config;
  }

  /**
   * One at a time. Rejects with ConfigurationError, and has changed nothing, when the files cannot be used. With `force` devices in use are
   * detached where that is needed.
   */
  reload(force: boolean): Promise<ReloadResult> {
    return this.#queue.run(() => this.#reload(force));
  }

  async #reload(force: boolean): Promise<ReloadResult> {
    const { load, adopt } = this.#options;
    const wanted = load();
    const before = this.#config;
    const keys = restartKeys(before, wanted.config);
    await adopt(before, wanted.config);
    // Tables of which only a new process takes notice stay as they were started with, to be named again by the next reload.
    const { initiator, limits, log, volume } = wanted.config;
    this.#config = { ...before, initiator, limits, log, volume };
    const volumes = await this.#reloadVolumes(wanted.volumes, force);
    return { volumes, restartKeys: keys };
  }

  async #reloadVolumes(wanted: readonly VolumePlan[], force: boolean): Promise<Line[]> {
    const { supervisor, logger } = this.#options;
    const lines = new Map<string, Line>();
    const accepted = wanted.filter((plan) => this.#accept(plan, lines));
    const running = this.#running(accepted).filter(({ plan }) => !lines.has(plan.config.name));
    const changes = diffVolumes(running, accepted);
    const effective = changes.flatMap((change): Effective[] => {
      if (change.kind !== 'unchanged') return [change];
      forgetSecrets([change.plan.spec]);
      this.#adoptUnchanged(change.name, change.plan);
      return [];
    });
    const specChanges = effective.map((change) => this.#specChange(change));
    const failures = await supervisor.apply(specChanges, force);
    effective.forEach((change, index) => {
      this.#note(change, specChanges[index], failures.get(change.name));
    });
    for (const change of changes) {
      const line = lineOf(change, failures.get(change.name));
      lines.set(change.name, line);
      const { name, outcome, reason } = line;
      if (outcome === 'unchanged') continue;
      const isBad = outcome === 'refused' || outcome === 'failed';
      logger.log(isBad ? 'error' : 'info', `reload: ${outcome}`, {
        volume: name,
        keys: line.keys.join(',') || undefined,
        reason: reason ?? undefined,
      });
    }
    const order = [...wanted.map(({ config }) => config.name), ...lines.keys()];
    return [...new Set(order)].flatMap((name) => lines.get(name) ?? []);
  }

  /** False, with a line that says why: the volume cannot be there beside one that was attached at run time. */
  #accept(plan: VolumePlan, lines: Map<string, Line>): boolean {
    const { catalog } = this.#options;
    const { config } = plan;
    const attached = catalog.get(config.name);
    if (attached?.origin === 'runtime' && isSameUnit(attached.plan.config, config)) return true;
    const reason = catalog.obstacle(config, 'runtime');
    if (reason === undefined) return true;
    forgetSecrets([plan.spec]);
    lines.set(config.name, { name: config.name, outcome: 'refused', keys: [], reason });
    return false;
  }

  /** The configuration's volumes, and those attached at run time that it has now, too. */
  #running(wanted: readonly VolumePlan[]): RunningVolume[] {
    const { catalog, supervisor } = this.#options;
    const names = new Set(wanted.map(({ config }) => config.name));
    const adopted = catalog.of('runtime').filter(({ plan }) => names.has(plan.config.name));
    return [...catalog.of('configuration'), ...adopted].map(({ plan, isIncomplete }) => ({
      plan,
      isIncomplete,
      devicePath: supervisor.volume(plan.config.name)?.devicePath,
    }));
  }

  #adoptUnchanged(name: string, { config }: VolumePlan): void {
    const { catalog, onAdopted } = this.#options;
    const entry = catalog.get(name);
    if (entry?.origin !== 'runtime') return;
    catalog.set({ config, spec: entry.plan.spec }, 'configuration');
    onAdopted(name);
  }

  #specChange(change: Effective): SpecChange {
    if (change.kind === 'removed') return { kind: 'remove', name: change.name };
    const { spec } = change.plan;
    if (change.kind === 'added') return { kind: 'add', spec };
    const { effect } = change;
    const before = this.#options.catalog.get(change.name);
    if (effect !== ChangeEffect.live || before === undefined)
      return { kind: 'change', effect, spec };
    // The sessions go on, with the secrets that they have.
    forgetSecrets([spec]);
    return { kind: 'change', effect, spec: { ...spec, sessions: before.plan.spec.sessions } };
  }

  /** What the catalog has to say of it from now on. */
  #note(change: Effective, specChange: SpecChange, failure: Error | undefined): void {
    const { catalog, supervisor, onAdopted } = this.#options;
    const { name } = change;
    if (specChange.kind === 'remove') {
      if (failure === undefined) catalog.remove(name);
      return;
    }
    if (change.kind === 'removed') return;
    const { spec } = specChange;
    if (supervisor.volume(name)?.spec !== spec) {
      forgetSecrets([spec]);
      return;
    }
    const wasAttached = catalog.get(name)?.origin === 'runtime';
    const isLive = specChange.kind === 'change' && specChange.effect === ChangeEffect.live;
    catalog.set(
      { config: change.plan.config, spec },
      'configuration',
      isLive && failure !== undefined,
    );
    if (wasAttached) onAdopted(name);
  }
}

function lineOf(change: VolumeChange, failure: Error | undefined): Line {
  const { name, kind } = change;
  const keys = kind === 'changed' ? [...change.keys] : [];
  if (failure === undefined) return { name, outcome: kind, keys, reason: null };
  const { code } = failure as { code?: string };
  const outcome = refusals.has(code) ? 'refused' : 'failed';
  return { name, outcome, keys, reason: failure.message };
}

/** One line for the log and for whoever follows events. */
export function summarizeReload({ volumes, restartKeys }: ReloadResult): {
  readonly outcome: 'done' | 'incomplete';
  readonly reason: string;
} {
  const counts = new Map<string, number>();
  for (const { outcome } of volumes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const parts = [...counts].map(([outcome, count]) => `${count} ${outcome}`);
  if (parts.length === 0) parts.push('no volumes');
  if (restartKeys.length > 0)
    parts.push(`only "iserctl restart" takes up ${restartKeys.join(', ')}`);
  const isIncomplete = counts.has('refused') || counts.has('failed');
  return { outcome: isIncomplete ? 'incomplete' : 'done', reason: parts.join(', ') };
}
