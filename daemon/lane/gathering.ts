import type { RequestTable } from '../../src/block/request-table.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';

/** Requests in flight from which on gathering pays; with sixteen it does not (test/bench/README.md, "What was tried"). */
const deepFrom = 24;

/** Has the reactor take fewer and larger batches while many requests are in flight. For the life of the reactor. */
export function gatherWhenDeep(
  reactor: Pick<Reactor, 'gathering' | 'addBatchEndListener'>,
  requests: Pick<RequestTable, 'inFlight'>,
): void {
  reactor.addBatchEndListener(() => {
    reactor.gathering = requests.inFlight >= deepFrom;
  });
}
