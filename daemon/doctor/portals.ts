/** Whether targets can be reached and let us in: name, way, login, one after the other. */
import { ok, wrong, type Finding } from './finding.ts';

export interface PortalTrial {
  /** "iser://10.0.0.5:3260": what is tried. */
  readonly name: string;
  readonly transport: 'iser' | 'tcp';
  readonly host: string;
  readonly port: number;
  readonly initiatorName: string;
  /** What the logins of this portal are for; the last step of the trial, one finding each. */
  readonly logins: readonly LoginTrial[];
}

export interface LoginTrial {
  /** "login to iqn.… LUN 0" or "discovery". */
  readonly name: string;
  /** Resolves with what was found; rejects with a coded error. */
  readonly attempt: () => Promise<string>;
}

export interface Network {
  /** Numeric addresses; rejects when there are none. */
  resolve(host: string): Promise<string[]>;
  /** Resolves with a description of the way ("over rxe0"), rejects with a coded error. */
  reach(transport: 'iser' | 'tcp', address: string, port: number): Promise<string>;
}

export async function checkPortal(network: Network, trial: PortalTrial): Promise<Finding[]> {
  const { name, host, port, transport } = trial;
  let addresses: string[];
  try {
    addresses = await network.resolve(host);
  } catch (error) {
    const { message } = error as Error;
    const cure = 'correct the name, or DNS; an address does as well';
    return [wrong(`${name}: the name ${host} cannot be resolved: ${message}`, cure)];
  }
  const [address] = addresses;
  let way: string;
  try {
    way = await network.reach(transport, address, port);
  } catch (error) {
    const { message } = error as Error;
    return [wrong(`${name} cannot be reached: ${message}`, unreachableCure(trial, address))];
  }
  const findings = [ok(`${name} can be reached${way}`)];
  for (const login of trial.logins) findings.push(await tryLogin(trial, login));
  return findings;
}

function unreachableCure({ transport, port }: PortalTrial, address: string): string {
  return transport === 'tcp'
    ? `check that the target listens on ${address} port ${port}, and firewalls on the way`
    : `check that ping ${address} works, that the address belongs to a network with an RDMA device on both sides, and that the target listens for iSER on port ${port}`;
}

async function tryLogin(trial: PortalTrial, login: LoginTrial): Promise<Finding> {
  try {
    return ok(`${trial.name}: ${login.name} works: ${await login.attempt()}`);
  } catch (error) {
    const { message } = error as Error;
    return wrong(`${trial.name}: ${login.name} fails: ${message}`, loginCure(trial, message));
  }
}

/** By the message: after several attempts it tells of the last one, whatever the error's code. */
function loginCure({ initiatorName, transport }: PortalTrial, message: string): string {
  if (/not allowed to use the target/.test(message)) {
    return `let the initiator name ${initiatorName} in at the target (its ACL), or set [initiator] name to one that it knows`;
  }
  if (/authenticat/.test(message)) {
    return 'compare chap_user and the secret with those of the target';
  }
  if (/target not found|no such target/.test(message)) {
    return `compare the name with what iserctl discover shows; a target may also hide from an initiator that it does not know (we are ${initiatorName})`;
  }
  if (/no logical unit/.test(message)) return 'compare the LUN with those that the target exports';
  if (transport === 'iser' && /connect-refused|peer-closed/.test(message)) {
    return 'the target may serve this port over TCP only: try iscsi://, or enable iSER at the target';
  }
  return 'look into the log of the target';
}
