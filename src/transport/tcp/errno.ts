/** How the errno of a socket ends a connection (errno.h of Linux). */
import { ConnectionEnd } from '../transport.ts';

const networkDown = 100;
const networkUnreachable = 101;
const timedOut = 110;
const connectionRefused = 111;
const hostDown = 112;
const hostUnreachable = 113;

/** connect(2) has failed. */
export function endOfConnect(errno: number): ConnectionEnd {
  switch (errno) {
    case connectionRefused:
      return ConnectionEnd.connectRefused;
    case timedOut:
      return ConnectionEnd.connectTimeout;
    case networkDown:
    case networkUnreachable:
    case hostDown:
    case hostUnreachable:
      return ConnectionEnd.unreachable;
    default:
      return ConnectionEnd.connectionReset;
  }
}
