/** What an asynchronous message asks a session to do (RFC 7143 §11.9.1). */
import { emptySense, parseSense } from '../scsi/sense.ts';
import { AsyncEvent } from './pdu/async-message.ts';
import type { AsyncMessage } from './pdu/async-message.ts';

export type AsyncAction =
  | { readonly kind: 'none' }
  /** ASC << 8 | ASCQ. */
  | { readonly kind: 'unit-attention'; readonly code: number }
  /** Log out and in again; commands may still end within `withinMs`. */
  | { readonly kind: 'renew'; readonly withinMs: number }
  /** The connection is as good as lost; a new login not before `waitMs`. */
  | { readonly kind: 'drop'; readonly waitMs: number };

export function actionOf(message: AsyncMessage): AsyncAction {
  switch (message.event) {
    case AsyncEvent.scsiAsyncEvent: {
      const sense = emptySense();
      if (!parseSense(message.sense, 0, message.sense.length, sense)) return { kind: 'none' };
      return { kind: 'unit-attention', code: sense.code };
    }
    case AsyncEvent.logoutRequested:
    // Keys are not negotiated in full feature phase: a new login negotiates everything.
    case AsyncEvent.renegotiationRequested:
      // Half of the time that the target gives is for the commands, the rest for the logout.
      return { kind: 'renew', withinMs: message.parameter3 * 500 };
    case AsyncEvent.connectionWillDrop:
    case AsyncEvent.sessionWillDrop:
      return { kind: 'drop', waitMs: message.parameter2 * 1000 };
    default:
      return { kind: 'none' };
  }
}
