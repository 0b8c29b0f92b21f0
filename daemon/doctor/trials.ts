/** Which portals there are to try, and as whom: those of configured volumes and those of URLs. */
import type { DiscoveredTarget } from '../../src/iscsi/discovery.ts';
import { formatSize } from '../config/size.ts';
import type { SessionReport, SessionSpec } from '../lane/messages.ts';
import { randomIsid } from '../volume/spec.ts';
import type { LoginTrial, PortalTrial } from './portals.ts';

/** A session without a LUN of its own means: ask the portal what it has. */
export type TriedSession = Omit<SessionSpec, 'targetName' | 'lun'> & {
  readonly targetName: string | undefined;
  readonly lun: number | undefined;
};

export interface Logins {
  discover(session: Omit<SessionSpec, 'targetName' | 'lun'>): Promise<readonly DiscoveredTarget[]>;
  /** Logs in, looks at the unit, logs out. */
  inspect(session: SessionSpec): Promise<SessionReport>;
}

const loginTimeoutMs = 10_000;
/** A portal that can be reached and does not answer logins. */
const startTimeoutMs = 5000;

/** One trial for each portal, whoever uses it; every session is tried at each of its portals. */
export function portalTrials(sessions: readonly TriedSession[], logins: Logins): PortalTrial[] {
  const trials = new Map<string, PortalTrial & { readonly logins: LoginTrial[] }>();
  for (const session of sessions) {
    for (const portal of session.portals) {
      const { transport, initiatorName } = session;
      const host = portal.host.includes(':') ? `[${portal.host}]` : portal.host;
      const name = `${transport === 'iser' ? 'iser' : 'iscsi'}://${host}:${portal.port}`;
      const trial = trials.get(name) ?? { name, transport, ...portal, initiatorName, logins: [] };
      trials.set(name, trial);
      trial.logins.push(loginTrial({ ...session, portals: [portal], isid: randomIsid() }, logins));
    }
  }
  return [...trials.values()];
}

function loginTrial(session: TriedSession, logins: Logins): LoginTrial {
  const { targetName, lun, ...rest } = session;
  const patient = { ...rest, loginTimeoutMs, startTimeoutMs };
  if (targetName === undefined || lun === undefined) {
    return {
      name: 'discovery',
      attempt: async () => {
        const targets = await logins.discover(patient);
        const names = targets.map((target) => target.targetName);
        return names.length === 0 ? 'no targets for this initiator' : names.join(', ');
      },
    };
  }
  return {
    name: `login to ${targetName} LUN ${lun}`,
    attempt: async () => {
      const report = await logins.inspect({ ...patient, targetName, lun });
      const { geometry, vendor, product } = report;
      const access = geometry.readOnly ? ', read only' : '';
      return `${vendor} ${product}, ${formatSize(geometry.sizeBytes)}${access}`;
    },
  };
}
