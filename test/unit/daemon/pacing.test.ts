import { expect } from 'chai';
import { paceByDepth } from '../../../daemon/lane/pacing.ts';
import { RequestTable, type RequestOwner } from '../../../src/block/request-table.ts';
import { FakeReactor } from '../../../src/reactor/fake-reactor.ts';

const owner: RequestOwner = { onRequestDone: () => undefined };

/** How the reactor waits with so many requests in flight at the end of a batch, one after the other. */
function pacesAt(...depths: readonly number[]): { gathering: boolean; polling: boolean }[] {
  const requests = new RequestTable(32);
  const reactor = new FakeReactor();
  let endBatch = (): void => undefined;
  reactor.addBatchEndListener = (listener) => {
    endBatch = listener;
  };
  paceByDepth(reactor, requests);
  const taken: number[] = [];
  return depths.map((depth) => {
    while (taken.length < depth) taken.push(requests.allocate(owner));
    while (taken.length > depth) requests.free(taken.pop() ?? 0);
    endBatch();
    const { gathering, polling } = reactor;
    return { gathering, polling };
  });
}

describe('pacing by depth', () => {
  it('polls while few requests are in flight', () => {
    const polling = pacesAt(0, 4, 5, 4).map((pace) => pace.polling);
    expect(polling).to.deep.equal([true, true, false, true]);
  });

  it('gathers while many are', () => {
    const gathering = pacesAt(0, 23, 24, 23).map((pace) => pace.gathering);
    expect(gathering).to.deep.equal([false, false, true, false]);
  });
});
