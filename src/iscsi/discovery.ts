import { ProtocolError } from '../errors.ts';
import { nameDefect } from './names.ts';
import { parseTargetAddress } from './target-address.ts';
import { TextAccumulator, formatText, parseTextPairs, quoted } from './text-keys.ts';

/** SendTargets (RFC 7143, Appendix C): what a discovery session is for. */

export interface DiscoveredPortal {
  readonly address: string;
  readonly port: number;
  /** Target portal group tag. */
  readonly tag: number;
}

export interface DiscoveredTarget {
  readonly targetName: string;
  /** Empty: the target is reached through the portal that was asked. */
  readonly portals: readonly DiscoveredPortal[];
}

const subject = 'SendTargets answer';
/** Some ten thousand targets; a list without end must not fill the memory. */
const maxListLength = 4 * 1024 * 1024;

/** The data segment of the Text Request. */
export function sendTargetsText(): Uint8Array {
  return formatText([['SendTargets', 'All']]);
}

/** Collects the Text Responses of one SendTargets exchange. */
export class SendTargetsCollector {
  readonly #text = new TextAccumulator(subject, maxListLength);

  /**
   * Takes over `text`. True when the list is complete.
   * @param continued C bit
   */
  append(text: Uint8Array, continued: boolean): boolean {
    return this.#text.append(text, continued);
  }

  /** Reads the complete list; call once, after `append` returned true. */
  targets(): DiscoveredTarget[] {
    return parseSendTargets(this.#text.take());
  }
}

/** TargetName keys, each followed by its TargetAddress keys; a name that comes again adds to the first one. */
export function parseSendTargets(text: Uint8Array): DiscoveredTarget[] {
  const targets = new Map<string, DiscoveredPortal[]>();
  let portals: DiscoveredPortal[] | undefined;
  for (const [key, value] of parseTextPairs(text, subject)) {
    if (key === 'TargetName') {
      checkTargetName(value);
      portals = targets.get(value) ?? [];
      targets.set(value, portals);
    } else if (key === 'TargetAddress') {
      if (portals === undefined) {
        throw new ProtocolError('DISCOVERY_ORDER', `${subject}: TargetAddress before TargetName`);
      }
      addPortal(portals, value);
    } else if (key === 'SendTargets') {
      throw new ProtocolError('DISCOVERY_REFUSED', `${subject}: SendTargets=${quoted(value)}`);
    }
    // Other keys are not for us (RFC 7143, Appendix C lists none): they change nothing in the list.
  }
  return Array.from(targets, ([targetName, list]) => ({ targetName, portals: list }));
}

function checkTargetName(name: string): void {
  const defect = nameDefect(name);
  if (defect !== undefined) {
    throw new ProtocolError(
      'DISCOVERY_TARGET_NAME',
      `${subject}: TargetName ${quoted(name)}: ${defect}`,
    );
  }
}

function addPortal(portals: DiscoveredPortal[], value: string): void {
  const { address, port, tag } = parseTargetAddress(value);
  if (tag === undefined) {
    throw new ProtocolError(
      'DISCOVERY_PORTAL_TAG',
      `${subject}: TargetAddress ${quoted(value)} has no portal group tag`,
    );
  }
  const known = portals.some((p) => p.address === address && p.port === port && p.tag === tag);
  if (!known) portals.push({ address, port, tag });
}
