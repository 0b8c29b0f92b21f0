/** Finds out how good the path of a connection is, from the target port group that it leads to (SPC-5 §5.18). */
import { ProtocolError } from '../errors.ts';
import { inquiryCdb, inquiryVpdCdb, reportTargetPortGroupsCdb } from '../scsi/management-cdb.ts';
import { ScsiStatus } from '../scsi/status.ts';
import {
  AccessState,
  accessStateName,
  hasTargetPortGroups,
  parseTargetPortGroups,
  targetPortGroupOf,
} from '../scsi/target-port-groups.ts';
import { VpdPage, parseDeviceIdentification } from '../scsi/vpd.ts';
import { PathQuality } from './recovery.ts';
import type { ScsiSession } from './scsi-session.ts';
import { TaskOutcome } from './task-table.ts';

export interface PathAccess {
  readonly quality: PathQuality;
  /** For the log. */
  readonly state: string;
}

const inquiryLength = 96;
const identificationLength = 1024;
const groupsLength = 2048;

/** Without asymmetric access, or without an answer that can be understood, every path is as good as any. Never rejects. */
export async function findPathAccess(session: ScsiSession): Promise<PathAccess> {
  const symmetric: PathAccess = { quality: PathQuality.best, state: 'symmetric' };
  try {
    const inquiry = await ask(session, inquiryCdb(inquiryLength), inquiryLength);
    if (inquiry === undefined || !hasTargetPortGroups(inquiry)) return symmetric;
    const page = await ask(
      session,
      inquiryVpdCdb(VpdPage.deviceIdentification, identificationLength),
      identificationLength,
    );
    const data = await ask(session, reportTargetPortGroupsCdb(groupsLength), groupsLength);
    if (page === undefined || data === undefined) return symmetric;
    const groups = parseTargetPortGroups(data);
    const own = targetPortGroupOf(parseDeviceIdentification(page));
    const state = groups.find(({ group }) => group === own)?.state;
    if (state === undefined) return symmetric;
    const hasBetter = groups.some((other) => other.state === AccessState.activeOptimized);
    return { quality: qualityOf(state, hasBetter), state: accessStateName(state) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return symmetric;
  }
}

/** `hasBetter`: some group is active/optimized. */
function qualityOf(state: number, hasBetter: boolean): PathQuality {
  switch (state) {
    case AccessState.standby:
    case AccessState.unavailable:
    case AccessState.offline:
      return PathQuality.unusable;
    case AccessState.activeOptimized:
      return PathQuality.best;
    default:
      // Transitioning, too: it does not last, and commands are repeated until it is over.
      return hasBetter ? PathQuality.secondBest : PathQuality.best;
  }
}

async function ask(
  session: ScsiSession,
  cdb: Uint8Array,
  length: number,
): Promise<Uint8Array | undefined> {
  const { outcome, scsiStatus, data } = await session.execute(cdb, length);
  return outcome === TaskOutcome.answered && scsiStatus === ScsiStatus.good ? data : undefined;
}
