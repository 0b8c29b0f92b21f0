/** A lane and sessions in the test's own process, and what the process has open meanwhile. */
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Lane } from '../../daemon/lane/lane.ts';
import type { SessionSpec } from '../../daemon/lane/messages.ts';
import {
  loginTemplate,
  sessionTimeouts,
  transportFactory,
} from '../../daemon/lane/session-settings.ts';
import { makeIsid } from '../../src/iscsi/isid.ts';
import { Session } from '../../src/iscsi/session.ts';
import type { SessionOptions } from '../../src/iscsi/session-options.ts';
import { TaskOutcome } from '../../src/iscsi/task-table.ts';
import { parseTargetUrl } from '../../src/iscsi/url.ts';
import { putRead16 } from '../../src/scsi/cdb.ts';
import { systemTimers } from '../../src/timers.ts';
import { runOk } from './programs.ts';

const blockLength = 512;

/** Ended by `lane.handlers.close({})`. */
export function ownLane(arenaBytes: number): Lane {
  return new Lane(
    {
      registration: 'cache',
      pinLimitBytes: arenaBytes,
      arenaBytes,
      hugePages: false,
      spinMicroseconds: 0,
      requestCapacity: 16,
      lanes: 1,
      sessions: 1,
    },
    () => undefined,
  );
}

/** How to log in at the URL with long timeouts. */
export function sessionSpec(
  url: string,
  initiatorName: string,
  settings: Partial<SessionSpec> = {},
): SessionSpec {
  const { transport, host, port, targetName = '', lun = 0 } = parseTargetUrl(url);
  const milliseconds = 20_000;
  return {
    volume: 'own',
    transport,
    portals: [{ host, port }],
    targetName,
    lun,
    initiatorName,
    isid: makeIsid(0x123456, 7),
    headerDigest: 'none',
    dataDigest: 'none',
    readOnly: false,
    replacementTimeoutMs: milliseconds,
    commandTimeoutMs: milliseconds,
    loginTimeoutMs: milliseconds,
    startTimeoutMs: milliseconds,
    nopIntervalMs: 5000,
    nopTimeoutMs: 5000,
    ...settings,
  };
}

/** A session on the lane, not yet started. */
export function ownSession(
  { memory }: Lane,
  spec: SessionSpec,
  settings: Partial<SessionOptions> = {},
): Session {
  return new Session({
    createTransport: transportFactory(spec.transport, memory),
    arena: memory.reactor.arena,
    pool: memory.sessionPool,
    timers: systemTimers,
    random: Math.random,
    portals: spec.portals,
    resolve: (host) => Promise.resolve([host]),
    login: loginTemplate(spec),
    isid: spec.isid,
    lun: spec.lun,
    taskCapacity: 16,
    timeouts: sessionTimeouts(spec),
    ...settings,
  });
}

/** Reads the first block; rejects unless it came whole. */
export async function readFirstBlock(session: Session): Promise<void> {
  const cdb = new Uint8Array(16);
  putRead16(new DataView(cdb.buffer), 0, 0, 1);
  const { outcome, scsiStatus, data } = await session.execute(cdb, blockLength);
  if (outcome !== TaskOutcome.answered || scsiStatus !== 0 || data.length !== blockLength)
    throw new Error(`outcome ${outcome}, status ${scsiStatus}, ${data.length} bytes`);
}

/** Verbs objects of this process, by kind. */
export async function verbsObjects(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const kind of ['pd', 'cq', 'qp', 'cm_id', 'mr']) {
    const listed = JSON.parse(await runOk('rdma', ['-j', 'resource', 'show', kind])) as {
      pid?: number;
    }[];
    counts[kind] = listed.filter(({ pid }) => pid === process.pid).length;
  }
  return counts;
}

export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Resident bytes of this process once V8 has collected what it can: an unused heap may be large for other reasons. */
export function residentBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage.rss();
}
