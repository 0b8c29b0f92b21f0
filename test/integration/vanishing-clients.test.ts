/** NBD clients that connect and vanish in the middle of anything leave nothing behind: no request, buffer or descriptor. */
import { expect } from 'chai';
import { createConnection, type Socket } from 'node:net';
import { DaemonFixture, mebibyte, qemuIo, type ServingDaemon } from '../helpers/daemon-fixture.ts';
import {
  clientFlagsBoth,
  concat,
  infoData,
  option,
  read,
  request,
  u32,
  write,
} from '../helpers/nbd-client.ts';
import { waitUntil } from '../helpers/wait.ts';

/** Options of proto.md by number: EXPORT_NAME is 1, GO is 7, STRUCTURED_REPLY is 8. */
const go = concat(u32(clientFlagsBoth), option(7, infoData('serve')));
const structured = concat(u32(clientFlagsBoth), option(8), option(7, infoData('serve')));
const flush = request({ command: 3, cookie: 99n });

function many(count: number, make: (index: number) => Uint8Array): Uint8Array {
  return concat(...Array.from({ length: count }, (_, index) => make(index)));
}

const ways: readonly (readonly [string, Uint8Array])[] = [
  ['before a word', new Uint8Array(0)],
  ['within the client flags', u32(clientFlagsBoth).subarray(0, 2)],
  ['within an option', concat(u32(clientFlagsBoth), option(7, infoData('serve')).subarray(0, 20))],
  ['after an unknown option', concat(u32(clientFlagsBoth), option(4711))],
  [
    'after asking for an export that is not there',
    concat(u32(clientFlagsBoth), option(7, infoData('x'))),
  ],
  ['when the handshake is done', go],
  ['within a request header', concat(go, read(1n, 0, 4096).subarray(0, 13))],
  [
    'within the payload of a write',
    concat(go, write(1n, 0, new Uint8Array(mebibyte)).subarray(0, 300_000)),
  ],
  ['with a read of 8 MiB in flight', concat(go, read(1n, 0, 8 * mebibyte))],
  [
    'with 100 reads of 256 KiB in flight',
    concat(
      go,
      many(100, (i) => read(BigInt(i), (i % 32) * 262_144, 262_144)),
    ),
  ],
  [
    'with structured reads in flight',
    concat(
      structured,
      many(64, (i) => read(BigInt(i), i * 65_536, 65_536)),
    ),
  ],
  [
    'with 50 writes in flight',
    concat(
      go,
      many(50, (i) => write(BigInt(i), i * 65_536, new Uint8Array(65_536))),
    ),
  ],
  [
    'with writes, a flush and half a write',
    concat(
      go,
      many(8, (i) => write(BigInt(i), i * 4096, new Uint8Array(4096))),
      flush,
      write(9n, 0, new Uint8Array(8192)).subarray(0, 5000),
    ),
  ],
  ['with zeroing in flight', concat(go, request({ command: 6, cookie: 1n, length: 8 * mebibyte }))],
  ['after a request that is refused', concat(go, read(1n, 2 ** 40, 4096))],
  ['after nonsense in place of a request', concat(go, new Uint8Array(64).fill(0xee))],
];

describe('an NBD client that vanishes', function () {
  this.timeout(60_000);
  const suite = DaemonFixture.perSuite();
  let daemon: ServingDaemon;
  let atRest: Awaited<ReturnType<typeof rest>>;
  let openFds: number;

  before(async () => {
    const tgt = await suite.tgt({ luns: [{ sizeBytes: 16 * mebibyte }] });
    daemon = await suite.serve(tgt.urls[0]);
    // A first client, so that what is made once is there.
    await qemuIo(daemon.uri, 'read 0 1M', 'write 0 1M', 'flush');
    await waitUntil('the first client is gone', async () => (await rest()).clients === 0);
    atRest = await rest();
    // It may still count the control connection of the line above: one more than at rest at most.
    openFds = daemon.openFds;
  });

  async function rest() {
    const { volumes, lanes } = await daemon.status();
    return {
      clients: volumes[0].sessions[0].clients,
      tasks: volumes[0].sessions[0].inFlight,
      requests: lanes[0].requestsInFlight,
      usedBytes: lanes[0].usedBytes,
    };
  }

  async function expectNothingLeft(): Promise<void> {
    const same = async (): Promise<boolean> => {
      const now = await rest();
      return Object.entries(atRest).every(([key, value]) => now[key as keyof typeof now] === value);
    };
    await waitUntil('everything is given back', same).catch(async (error: unknown) => {
      expect(await rest()).to.deep.equal(atRest);
      throw error;
    });
    await waitUntil('descriptors are closed', () => daemon.openFds <= openFds);
    await qemuIo(daemon.uri, 'write -P 5 0 64k', 'read -P 5 0 64k');
    await waitUntil('the control client is gone', async () => (await rest()).clients === 0);
  }

  for (const [when, bytes] of ways) {
    it(`leaves nothing behind ${when}`, async () => {
      const sockets = await Promise.all(Array.from({ length: 3 }, () => connected(daemon.socket)));
      await Promise.all(sockets.map((socket) => sent(socket, bytes)));
      for (const socket of sockets) socket.destroy();
      await expectNothingLeft();
    });
  }

  it('leaves nothing behind among twenty of all kinds at once, while another one works', async () => {
    const working = qemuIo(
      daemon.uri,
      'write -P 6 8M 4M',
      'read -P 6 8M 4M',
      'write -P 7 8M 4M',
      'read -P 7 8M 4M',
    );
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const socket = await connected(daemon.socket);
        await sent(socket, ways[index % ways.length][1]);
        socket.destroy();
      }),
    );
    await working;
    await expectNothingLeft();
  });
});

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => {
      // The server may close first, after nonsense for one.
      socket.on('error', () => undefined);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/** Resolves when the kernel has taken the bytes, or the server has closed. Answers are never read. */
function sent(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => {
      resolve();
    });
    socket.write(bytes, () => {
      resolve();
    });
  });
}
