import { expect } from 'chai';
import { BlockError, BlockFlag } from '../../../src/block/request-table.ts';
import {
  concat,
  disconnect,
  hexBytes,
  parseReplies,
  read,
  request,
  write,
} from '../../helpers/nbd-client.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';

function statusRequest(length: number, flags = 0): Uint8Array {
  return request({ command: 7, cookie: 3n, length, flags });
}

/** [length, flags] of a BLOCK_STATUS chunk, whose context id must be ours. */
function extentsOf(body: Uint8Array): [number, number][] {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  expect(view.getUint32(0)).to.equal(1);
  const extents: [number, number][] = [];
  for (let at = 4; at < body.length; at += 8) {
    extents.push([view.getUint32(at), view.getUint32(at + 4)]);
  }
  return extents;
}

describe('NBD structured replies', () => {
  let fixture: NbdFixture;

  beforeEach(() => {
    fixture = new NbdFixture();
  });

  function status(length: number, flags = 0) {
    const client = fixture.structured();
    const [reply] = parseReplies(client.exchange(statusRequest(length, flags)));
    client.exchange(disconnect);
    fixture.expectNothingLeft();
    return reply;
  }

  it('READ is one OFFSET_DATA chunk with DONE, also with DF', () => {
    const client = fixture.structured();
    fixture.device.bytes.set([1, 2, 3], 1024);
    const golden = concat(
      hexBytes('668e33ef 0001 0001 00000000000000aa 00000208 0000000000000400'),
      fixture.device.bytes.slice(1024, 1536),
    );
    expect(client.exchange(read(0xaan, 1024, 512))).to.deep.equal(golden);
    expect(client.exchange(read(0xaan, 1024, 512, 4))).to.deep.equal(golden);
    const whole = client.exchange(read(1n, 0, 65536, 4));
    expect(parseReplies(whole)).to.have.lengthOf(1);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('an empty READ is a NONE chunk', () => {
    const client = fixture.structured();
    const golden = hexBytes('668e33ef 0001 0000 0000000000000001 00000000');
    expect(client.exchange(read(1n, 0, 0))).to.deep.equal(golden);
  });

  it('a READ that fails is an ERROR chunk with a text and no data', () => {
    const client = fixture.structured();
    fixture.device.fault = () => BlockError.ioError;
    const [{ error, chunk }] = parseReplies(client.exchange(read(1n, 0, 512)));
    expect(error).to.equal(5);
    expect(chunk?.flags).to.equal(1);
    expect(chunk?.type).to.equal(0x8001);
    expect(Buffer.from(chunk?.body.slice(6) ?? []).toString()).to.equal('device failed');
  });

  it('a refusal is an ERROR chunk that says why', () => {
    const client = fixture.structured();
    const bytes = client.exchange(read(1n, 1024 * 1024, 512), write(2n, 1, new Uint8Array(512)));
    const texts = parseReplies(bytes).map(({ chunk }) =>
      Buffer.from(chunk?.body.slice(6) ?? []).toString(),
    );
    expect(texts).to.deep.equal(['past the end of the device', 'not a multiple of the block size']);
  });

  it('a WRITE that succeeds is a simple reply', () => {
    const client = fixture.structured();
    const bytes = client.exchange(write(2n, 0, new Uint8Array(512)));
    expect(bytes).to.deep.equal(hexBytes('67446698 00000000 0000000000000002'));
  });

  it('BLOCK_STATUS gives the extents that the device knows', () => {
    fixture.device.status = [
      [4096, 0],
      [8192, 3],
      [4096, 1],
    ];
    const { chunk } = status(16384);
    expect(chunk?.type).to.equal(5);
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.deep.equal([
      [4096, 0],
      [8192, 3],
      [4096, 1],
    ]);
  });

  it('BLOCK_STATUS clips to what was asked and leaves empty extents out', () => {
    fixture.device.status = [
      [0, 3],
      [4096, 0],
      [1 << 30, 3],
      [512, 0],
    ];
    const { chunk } = status(8192);
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.deep.equal([
      [4096, 0],
      [4096, 3],
    ]);
  });

  it('BLOCK_STATUS with REQ_ONE gives exactly one extent', () => {
    fixture.device.status = [
      [4096, 3],
      [4096, 0],
    ];
    const { chunk } = status(8192, 8);
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.deep.equal([[4096, 3]]);
    expect(fixture.device.log[0].flags).to.equal(BlockFlag.requestOne);
  });

  it('BLOCK_STATUS of a device that says nothing calls all of it data', () => {
    fixture.device.status = [[0, 0]];
    const { chunk } = status(8192);
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.deep.equal([[8192, 0]]);
  });

  it('BLOCK_STATUS sends a long list from a buffer of its own', () => {
    fixture.device.status = Array.from({ length: 1000 }, (_, i) => [512, (i & 1) * 3] as const);
    const { chunk } = status(1024 * 1024);
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.have.lengthOf(1000);
  });

  it('BLOCK_STATUS cuts a very long list', () => {
    fixture = new NbdFixture({ sizeBytes: 4 * 1024 * 1024 });
    fixture.device.status = Array.from({ length: 8192 }, (_, i) => [512, (i & 1) * 3] as const);
    const { chunk } = status(4 * 1024 * 1024);
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.have.lengthOf(4096);
  });

  it('BLOCK_STATUS gives five extents when there is no memory for more', () => {
    fixture = new NbdFixture({ sizeBytes: 4 * 1024 * 1024, poolBytes: 1024 * 1024 });
    fixture.device.status = Array.from({ length: 4096 }, (_, i) => [512, (i & 1) * 3] as const);
    fixture.device.automatic = false;
    const client = fixture.structured();
    client.exchange(statusRequest(4 * 1024 * 1024));
    const taken: number[] = [];
    for (;;) {
      const buffer = fixture.pool.allocate(512);
      if (buffer < 0) break;
      taken.push(buffer);
    }
    fixture.device.finish();
    fixture.reactor.run();
    const [{ chunk }] = parseReplies(client.peer.take());
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.have.lengthOf(5);
    for (const buffer of taken) fixture.pool.release(buffer);
  });

  it('BLOCK_STATUS without the context is EINVAL, and READ still works', () => {
    const client = fixture.structured(false);
    const replies = parseReplies(client.exchange(statusRequest(512), read(1n, 0, 512)));
    expect(replies.map(({ error }) => error)).to.deep.equal([22, 0]);
  });

  it('BLOCK_STATUS of more than 4 GiB less 64 KiB keeps to 32 bits', () => {
    fixture = new NbdFixture({ geometry: { sizeBytes: 2 ** 40 } });
    fixture.device.status = [
      [2 ** 33, 3],
      [512, 0],
    ];
    const { chunk } = status(0xfffffe00);
    expect(extentsOf(chunk?.body ?? new Uint8Array(0))).to.deep.equal([[0xffff0000, 3]]);
  });
});
