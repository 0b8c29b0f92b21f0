/** Many logins in a row from one process: no error, and nothing left behind. */
import { expect } from 'chai';
import type { Lane } from '../../daemon/lane/lane.ts';
import type { SessionSpec } from '../../daemon/lane/messages.ts';
import type { SessionEvent } from '../../src/iscsi/session-options.ts';
import {
  openFds,
  ownLane,
  ownSession,
  readFirstBlock,
  sessionSpec,
  verbsObjects,
} from '../helpers/own-lane.ts';
import { waitUntil } from '../helpers/wait.ts';
import { initiatorOptions, sessionsAtTarget, targets, ways } from './guest/machine.ts';

const mebibyte = 2 ** 20;
const logins = 200;
/** What a heap may grow by between two collections. */
const allowedGrowthBytes = 48 * mebibyte;

/** Logs in, reads one block, logs out. */
async function loginOnce(
  lane: Lane,
  spec: SessionSpec,
  onEvent: (event: SessionEvent) => void,
): Promise<void> {
  const session = ownSession(lane, spec, { onEvent });
  await session.start();
  await readFirstBlock(session);
  await session.close();
}

/** A second attempt is none when the target has fallen to its own race right after the login: tgt does so now and then. */
function isTrouble(event: SessionEvent): boolean {
  if (event.kind === 'reconnecting') return !event.afterLogin;
  return ['login-failed', 'no-portal', 'reject', 'abort-task'].includes(event.kind);
}

/** What may not grow. A registration that the cache keeps for the next session is none of it: how many do depends on where buffers lay. */
async function heldObjects(lane: Lane): Promise<Record<string, number>> {
  const verbs = await verbsObjects();
  const { registrations } = await lane.handlers.statistics({});
  const cached = registrations.reduce((sum, { entries }) => sum + entries, 0);
  return { fds: openFds(), ...verbs, mr: verbs['mr'] - cached };
}

for (const way of ways) {
  describe(`${logins} logins in a row at ${way.name}`, () => {
    it('work without an error and leave nothing behind', async function () {
      const trouble: SessionEvent[] = [];
      const onEvent = (event: SessionEvent): void => {
        if (isTrouble(event)) trouble.push(event);
      };
      const lane = ownLane(16 * mebibyte);
      const spec = sessionSpec(await targets.variable(way.url), initiatorOptions()[1]);
      // What the first logins create stays: protection domain, completion channel, registered rings.
      for (let i = 0; i < 10; i++) await loginOnce(lane, spec, onEvent);
      const before = await heldObjects(lane);
      const rssBefore = process.memoryUsage.rss();
      for (let i = 0; i < logins; i++) await loginOnce(lane, spec, onEvent);
      expect(trouble).to.deep.equal([]);
      expect(await heldObjects(lane)).to.deep.equal(before);
      expect(process.memoryUsage.rss() - rssBefore).to.be.lessThan(allowedGrowthBytes);
      expect(lane.memory.sessionPool.statistics.usedBytes).to.be.lessThan(4 * mebibyte);
      await lane.handlers.close({});
      await waitUntil(
        'the target shows no session',
        async () => (await sessionsAtTarget(way)) === 0,
      );
    });
  });
}
