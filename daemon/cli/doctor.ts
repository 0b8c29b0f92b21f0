/** `iserctl doctor`: looks at everything that volumes need, and says in a sentence each what is wrong and what to do. */
import { ConfigurationError } from '../../src/errors.ts';
import { loadConfig } from '../config/load.ts';
import { readSafeFile } from '../config/safe-file.ts';
import { configSchema, type Config } from '../config/schema.ts';
import { forget } from '../config/secret.ts';
import { callControl } from '../control/client.ts';
import { statusSchema } from '../control/protocol.ts';
import { checkConfiguration } from '../doctor/configuration.ts';
import type { Finding, Wants } from '../doctor/finding.ts';
import { checkLimits, type Demand } from '../doctor/limits.ts';
import { thisMachine } from '../doctor/machine.ts';
import { checkAbandoned, checkNbd } from '../doctor/nbd.ts';
import { realNetwork } from '../doctor/network.ts';
import { checkPortal } from '../doctor/portals.ts';
import { checkRdma } from '../doctor/rdma.ts';
import { countOf, describeSections, type Section } from '../doctor/report.ts';
import { checkDaemon } from '../doctor/running-daemon.ts';
import { portalTrials, type TriedSession } from '../doctor/trials.ts';
import { CallQueue } from '../system.ts';
import { planVolume } from '../volume/plan.ts';
import { defaultInitiatorName } from '../volume/spec.ts';
import { discoverAt } from './discover.ts';
import { defineCommand, initiatorOptions, jsonOption } from './options.ts';
import { portalSpec, withLane } from './target-session.ts';

const defaultConfigPath = '/etc/iserd/iserd.toml';

export const doctorCommand = defineCommand({
  command: 'doctor [urls..]',
  describe: 'look for what keeps volumes from being served, and say what to do',
  builder: (builder) =>
    builder
      .positional('urls', {
        type: 'string',
        array: true,
        default: [],
        describe: 'portals and LUNs to try besides those of the configuration',
      })
      .options({ ...initiatorOptions, ...jsonOption })
      .option('config', {
        type: 'string',
        requiresArg: true,
        describe: `configuration file; default ${defaultConfigPath}, if there is one`,
      })
      .option('socket', {
        type: 'string',
        requiresArg: true,
        describe: "the daemon's control socket; default: the configuration's",
      })
      .example('$0 doctor', 'this machine and the configured volumes')
      .example('$0 doctor iser://10.0.0.5', 'and whether that portal lets us in'),
  handler: (options) => printDiagnosis(options),
});

export interface DoctorOptions {
  readonly urls: readonly string[];
  readonly config: string | undefined;
  /** Control socket; undefined: the one of the configuration. */
  readonly socket: string | undefined;
  readonly 'initiator-name'?: string | undefined;
  readonly 'chap-secret-file'?: string | undefined;
  readonly json: boolean;
}

/** Prints what was found; the exit code is 1 when something is wrong. */
export async function printDiagnosis(options: DoctorOptions): Promise<void> {
  const sections = await diagnose(options);
  const colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
  process.stdout.write(
    options.json
      ? `${JSON.stringify(sections, undefined, 2)}\n`
      : describeSections(sections, colour),
  );
  if (countOf(sections, 'wrong') > 0) process.exitCode = 1;
}

async function diagnose(options: DoctorOptions): Promise<Section[]> {
  const machine = thisMachine;
  const sources = { load: loadConfig, readSafe: readSafeFile };
  const path = options.config ?? defaultConfigPath;
  const configuration = checkConfiguration(machine, sources, path, options.config !== undefined);
  const config = configuration.config ?? configSchema.parse({});
  const { sessions, unusable } = sessionsOf(config, options);
  const wants = wantsOf(config, sessions);
  const daemon = await checkDaemon(
    () => callControl(options.socket ?? config.control.socket, 'status'),
    (answer) => statusSchema.parse(answer),
    config.volume.length,
  );
  const subject =
    daemon.pid === undefined
      ? { process: 'self', name: 'an iserd started from here' }
      : { process: String(daemon.pid), name: `the running iserd` };
  return [
    { area: 'configuration', findings: [...configuration.findings, ...unusable] },
    {
      area: 'daemon',
      findings: [...daemon.findings, ...checkAbandoned(machine, daemon.devices)],
    },
    { area: 'RDMA', findings: checkRdma(machine, wants) },
    { area: 'nbd', findings: await checkNbd(machine, wants) },
    { area: 'limits', findings: checkLimits(machine, wants, subject, demandOf(config)) },
    { area: 'portals', findings: await checkPortals(sessions) },
  ];
}

/** The sessions that volumes and URLs would have; secrets that cannot be read are reported by the check of the configuration. */
function sessionsOf(
  config: Config,
  options: DoctorOptions,
): { sessions: TriedSession[]; unusable: Finding[] } {
  const sessions: TriedSession[] = [];
  for (const volume of config.volume) {
    try {
      sessions.push(planVolume(volume, config).spec.sessions[0]);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
    }
  }
  const initiatorName =
    options['initiator-name'] ?? config.initiator.name ?? defaultInitiatorName();
  for (const url of options.urls) {
    sessions.push(
      portalSpec({
        url,
        'initiator-name': initiatorName,
        'chap-secret-file': options['chap-secret-file'],
      }),
    );
  }
  const name = {
    level: 'ok',
    message: `this initiator is ${initiatorName}${config.initiator.name === undefined ? ' (from the host name)' : ''}`,
  } as const;
  return { sessions, unusable: [name] };
}

function wantsOf(config: Config, sessions: readonly TriedSession[]): Wants {
  const iser =
    sessions.some(({ transport }) => transport === 'iser') ||
    config.volume.some(({ url }) => url.transport === 'iser');
  return {
    iser,
    device: config.volume.some(({ device }) => device !== 'none'),
    odp: iser && config.memory.registration === 'odp',
  };
}

function demandOf({ memory, limits, volume }: Config): Demand {
  return {
    pinLimitBytes: memory.pin_limit,
    hugePages: memory.huge_pages,
    arenaBytes: memory.arena_size,
    clients: limits.clients * volume.filter(({ socket }) => socket !== undefined).length,
  };
}

/** Ways are tried at once, logins one after the other: they share a small lane. */
async function checkPortals(sessions: readonly TriedSession[]): Promise<Finding[]> {
  if (sessions.length === 0) return [];
  try {
    return await withLane({}, async (lane) => {
      const queue = new CallQueue();
      const trials = portalTrials(sessions, {
        discover: (session) => queue.run(() => discoverAt(lane, session)),
        inspect: (session) =>
          queue.run(async () => {
            const report = await lane.handlers.openSession(session);
            await lane.handlers.closeSession({ session: report.session });
            return report;
          }),
      });
      const network = realNetwork(() => lane.memory.reactor);
      const findings = await Promise.all(trials.map((trial) => checkPortal(network, trial)));
      return findings.flat();
    });
  } finally {
    for (const { chap, mutualChap } of sessions) {
      forget(chap?.secret);
      forget(mutualChap?.secret);
    }
  }
}
