import type { RequestTable } from '../../src/block/request-table.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';

/** Requests in flight from which on gathering pays; with sixteen it does not (test/bench/README.md, "What was tried"). */
const gatherFrom = 24;
/** Requests in flight up to which polling pays: with more it costs a quarter of the CPU time and makes nothing faster. */
const pollUpTo = 4;

/** Sets how the reactor waits by how many requests are in flight. For the life of the reactor. */
export function paceByDepth(
  reactor: Pick<Reactor, 'gathering' | 'polling' | 'addBatchEndListener'>,
  requests: Pick<RequestTable, 'inFlight'>,
): void {
  reactor.addBatchEndListener(() => {
    reactor.gathering = requests.inFlight >= gatherFrom;
    reactor.polling = requests.inFlight <= pollUpTo;
  });
}
