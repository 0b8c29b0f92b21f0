// A RAM disk served over NBD with nothing but the package's entries: argv[2] is a listening fd's number.
import {
  BlockError,
  BlockOperation,
  NbdConnection,
  NbdListener,
  RequestTable,
  openReactor,
  systemTimers,
} from 'iserd/nbd';
import { SlabPool } from 'iserd/memory';

const arenaBytes = 64 * 2 ** 20;
const sizeBytes = 8 * 2 ** 20;
const { reactor } = openReactor({ arenaBytes });
const pool = new SlabPool({ sizeBytes: arenaBytes });
const disk = new Uint8Array(sizeBytes);

const device = {
  requests: new RequestTable(256),
  geometry: {
    sizeBytes,
    logicalBlockLength: 512,
    preferredLength: 4096,
    readOnly: false,
    rotational: false,
    canTrim: false,
    fastZeroes: true,
    knowsAllocation: false,
  },
  extents: { count: 0, length: new Float64Array(1), flags: new Uint32Array(1) },
  submit(request) {
    const { operation, offset, length, bufferOffset } = this.requests;
    const buffer = reactor.arena.bytes.subarray(
      bufferOffset[request],
      bufferOffset[request] + length[request],
    );
    const range = disk.subarray(offset[request], offset[request] + length[request]);
    if (operation[request] === BlockOperation.read) buffer.set(range);
    if (operation[request] === BlockOperation.write) range.set(buffer);
    if (operation[request] === BlockOperation.writeZeroes) range.fill(0);
    setImmediate(() => this.requests.complete(request, BlockError.none));
  },
};
const disks = [{ name: 'ram', description: 'a RAM disk', device }];
const exports = { find: (name) => disks.find((entry) => entry.name === name), list: () => disks };
const listener = new NbdListener(3, {
  reactor,
  maximumClients: 8,
  onConnection: (fd) => {
    const events = { onClosed: () => listener.clientClosed() };
    new NbdConnection(fd, {
      reactor,
      pool,
      timers: systemTimers,
      events,
      serve: { exports },
    }).start();
  },
});
