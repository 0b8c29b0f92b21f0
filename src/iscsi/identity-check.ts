import type { ScsiSession } from './scsi-session.ts';

/** Whether the logical unit is the one it was; rejects when that cannot be found out. */
export type IdentityCheck = (session: ScsiSession) => Promise<boolean>;

/** Tells `done` the verdict, or a message when there is none. Never rejects. */
export async function checkIdentity(
  check: IdentityCheck,
  session: ScsiSession,
  done: (same: boolean | undefined, message: string) => void,
): Promise<void> {
  let same: boolean | undefined;
  let message = '';
  try {
    same = await check(session);
  } catch (error) {
    message = error instanceof Error ? error.message : String(error);
  }
  done(same, message);
}
