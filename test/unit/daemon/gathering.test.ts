import { expect } from 'chai';
import { gatherWhenDeep } from '../../../daemon/lane/gathering.ts';
import { RequestTable, type RequestOwner } from '../../../src/block/request-table.ts';
import { FakeReactor } from '../../../src/reactor/fake-reactor.ts';

const owner: RequestOwner = { onRequestDone: () => undefined };

describe('gathering', () => {
  it('lasts as long as many requests are in flight at the end of a batch', () => {
    const requests = new RequestTable(32);
    const reactor = new FakeReactor();
    let endBatch = (): void => undefined;
    reactor.addBatchEndListener = (listener) => {
      endBatch = listener;
    };
    gatherWhenDeep(reactor, requests);
    const taken = Array.from({ length: 23 }, () => requests.allocate(owner));
    endBatch();
    expect(reactor.gathering).to.equal(false);
    taken.push(requests.allocate(owner));
    endBatch();
    expect(reactor.gathering).to.equal(true);
    requests.free(taken[0]);
    endBatch();
    expect(reactor.gathering).to.equal(false);
  });
});
