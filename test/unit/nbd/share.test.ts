import { expect } from 'chai';
import { RequestTable } from '../../../src/block/request-table.ts';
import { NbdConnection } from '../../../src/nbd/connection.ts';
import { LaneShares, type VolumeShare } from '../../../src/nbd/share.ts';
import type { FakeStreamPeer } from '../../../src/reactor/fake-reactor.ts';
import { concat, parseReplies, read, write } from '../../helpers/nbd-client.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';
import { settle } from '../../helpers/session-fixture.ts';

const poolBytes = 4 * 1024 * 1024;
const length = 32 * 1024;
const manyReads = concat(...Array.from({ length: 40 }, (_, i) => read(BigInt(i), 0, length)));

function makeFixture(): { fixture: NbdFixture; shares: LaneShares } {
  const fixture = new NbdFixture({ poolBytes });
  return { fixture, shares: new LaneShares(fixture.pool.statistics, fixture.device.requests) };
}

/** A client in the transmission phase, of the volume with this share. */
function connect(fixture: NbdFixture, share: VolumeShare): FakeStreamPeer {
  const { fd, peer } = fixture.reactor.streamPair();
  const { reactor, pool, timers, device } = fixture;
  const events = { onClosed: () => undefined };
  new NbdConnection(fd, { reactor, pool, timers, events, share, serve: { device } }).start();
  return peer;
}

async function rest(fixture: NbdFixture): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    fixture.reactor.run();
    await settle();
    // What was submitted between two batches.
    if (fixture.device.automatic) fixture.device.finish();
  }
}

describe('the share of a volume', () => {
  it('leaves half of the memory to others, however many clients read and take nothing', async () => {
    const { fixture, shares } = makeFixture();
    const bad = shares.open();
    const good = shares.open();
    const hoarders = Array.from({ length: 8 }, () => connect(fixture, bad));
    for (const peer of hoarders) {
      peer.pauseReading();
      peer.write(manyReads);
    }
    await rest(fixture);
    expect(bad.bytes).to.be.within(poolBytes / 4, poolBytes / 2);
    const honest = connect(fixture, good);
    honest.write(concat(...Array.from({ length: 8 }, (_, i) => read(BigInt(i), 0, length))));
    await rest(fixture);
    expect(parseReplies(honest.take(), () => length)).to.have.lengthOf(8);
    for (const peer of [...hoarders, honest]) peer.close();
    for (let turn = 0; turn < 50; turn++) await rest(fixture);
    expect([bad.bytes, bad.requests, good.bytes]).to.deep.equal([0, 0, 0]);
    fixture.expectNothingLeft();
  });

  it('goes on with clients that had to wait as soon as something is given back', async () => {
    const { fixture, shares } = makeFixture();
    const share = shares.open();
    shares.open();
    const peers = Array.from({ length: 8 }, () => connect(fixture, share));
    for (const peer of peers) {
      peer.pauseReading();
      peer.write(manyReads);
    }
    await rest(fixture);
    expect(share.bytes).to.be.below(8 * 40 * length);
    for (const peer of peers) peer.resumeReading();
    const all = 40 * (16 + length);
    const received = peers.map(() => 0);
    for (let turn = 0; turn < 200 && received.some((bytes) => bytes < all); turn++) {
      await rest(fixture);
      peers.forEach((peer, i) => (received[i] += peer.take().length));
    }
    expect(received).to.deep.equal(peers.map(() => all));
    for (const peer of peers) peer.close();
    await rest(fixture);
    expect(share.bytes).to.equal(0);
    fixture.expectNothingLeft();
  });

  it('counts a payload that is being received, and no more when its client is gone', async () => {
    const { fixture, shares } = makeFixture();
    const share = shares.open();
    const peer = connect(fixture, share);
    peer.write(write(1n, 0, new Uint8Array(length)).slice(0, 1000));
    await rest(fixture);
    expect(share.bytes).to.equal(length);
    peer.close();
    await rest(fixture);
    expect(share.bytes).to.equal(0);
    fixture.expectNothingLeft();
  });

  it('counts requests until the device has ended them, also of a client that is gone', async () => {
    const { fixture, shares } = makeFixture();
    fixture.device.automatic = false;
    const share = shares.open();
    const peer = connect(fixture, share);
    peer.write(concat(read(1n, 0, 512), read(2n, 0, 512)));
    await rest(fixture);
    peer.close();
    await rest(fixture);
    expect(share.requests).to.equal(2);
    fixture.device.finish();
    await rest(fixture);
    expect([share.requests, share.bytes]).to.deep.equal([0, 0]);
    fixture.expectNothingLeft();
  });

  it('gives every volume its part of the second half of memory and request slots', () => {
    const pool = { totalBytes: 1000, usedBytes: 900, peakUsedBytes: 900, failures: 0 };
    const requests = new RequestTable(8);
    const shares = new LaneShares(pool, requests);
    const one = shares.open();
    const other = shares.open();
    one.change(200, 1);
    expect(one.admitsBytes(50)).to.equal(true);
    expect(one.admitsBytes(51)).to.equal(false);
    expect(other.admitsBytes(5000)).to.equal(true);
    const owner = { onRequestDone: () => undefined };
    for (let i = 0; i < 4; i++) requests.allocate(owner);
    expect(one.admitsRequest()).to.equal(true);
    one.change(0, 1);
    expect(one.admitsRequest()).to.equal(false);
    expect(other.admitsRequest()).to.equal(true);
  });

  it('lets a volume alone on the lane have half of it, and grows when others leave', () => {
    const pool = { totalBytes: 1000, usedBytes: 500, peakUsedBytes: 500, failures: 0 };
    const shares = new LaneShares(pool, new RequestTable(8));
    const one = shares.open();
    const other = shares.open();
    one.change(250, 0);
    expect(one.admitsBytes(250)).to.equal(false);
    other.close();
    expect(one.admitsBytes(250)).to.equal(true);
    expect(one.admitsBytes(251)).to.equal(false);
  });
});
