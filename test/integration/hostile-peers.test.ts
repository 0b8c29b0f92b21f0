/**
 * Two volumes on the same lanes. One has a target that lies, stalls and closes, and clients that misbehave; the other one is written
 * and verified by fio all the while and notices nothing.
 */
import { expect } from 'chai';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { callControl } from '../../daemon/control/client.ts';
import { statusSchema, type Status } from '../../daemon/control/protocol.ts';
import { DaemonFixture, mebibyte, qemuIo } from '../helpers/daemon-fixture.ts';
import {
  clientFlagsBoth,
  concat,
  infoData,
  option,
  read,
  u32,
  write,
} from '../helpers/nbd-client.ts';
import { type IserdProcess, runOk } from '../helpers/programs.ts';
import { changed, type ProxyScript, ScriptedProxy } from '../helpers/scripted-proxy.ts';
import { waitUntil } from '../helpers/wait.ts';

const lanes = availableParallelism();
const loadSeconds = 4;
/** Of a PDU: its opcode (byte 0), SCSI Response and Data-In. */
const scsiResponse = 0x21;
const dataIn = 0x25;
const fullFeature = (pdu: Uint8Array): boolean => pdu[0] === scsiResponse || pdu[0] === dataIn;

/** Lies once, at the first PDU that `chooses`; honest before and after. */
function lieOnce(
  chooses: (pdu: Uint8Array) => boolean,
  lie: (pdu: Uint8Array) => Uint8Array,
): ProxyScript {
  let lied = false;
  return (pdu) => {
    if (lied || !chooses(pdu)) return pdu;
    lied = true;
    return lie(pdu);
  };
}

/** What the log says of the end, and a script that brings it about. */
const lies: readonly (readonly [string, RegExp, () => ProxyScript])[] = [
  [
    'an opcode that does not exist',
    /protocol-error/,
    () => lieOnce(fullFeature, (pdu) => changed(pdu, { 0: 0x2a })),
  ],
  [
    'the tag of nobody',
    /protocol-error/,
    () => lieOnce(fullFeature, (pdu) => changed(pdu, { 16: 0xde, 17: 0xad })),
  ],
  [
    'data beyond the transfer',
    /protocol-error/,
    () =>
      lieOnce(
        (pdu) => pdu[0] === dataIn,
        (pdu) => changed(pdu, { 40: 0x7f }),
      ),
  ],
  [
    'a data segment of 16 MiB',
    /protocol-error/,
    () => lieOnce(fullFeature, (pdu) => changed(pdu, { 5: 0xff, 6: 0xff, 7: 0xff })),
  ],
  ['noise', /protocol-error/, () => lieOnce(fullFeature, () => new Uint8Array(10_000).fill(0xff))],
  [
    'an answer twice',
    /protocol-error/,
    () =>
      lieOnce(
        (pdu) => pdu[0] === scsiResponse,
        (pdu) => concat(pdu, pdu),
      ),
  ],
  [
    'a thousand asynchronous messages',
    /asynchronous|protocol-error|async message/,
    () =>
      lieOnce(fullFeature, (pdu) => {
        const message = changed(new Uint8Array(48), { 0: 0x32, 1: 0x80, 36: 255 });
        message.fill(0xff, 16, 20);
        message.set(pdu.subarray(24, 36), 24);
        return concat(...Array.from({ length: 1000 }, () => message), pdu);
      }),
  ],
];

describe('hostile peers of one volume', function () {
  this.timeout(120_000);
  const suite = DaemonFixture.perSuite();
  let directory: string;
  let proxy: ScriptedProxy;
  let daemon: IserdProcess;
  const sockets: Socket[] = [];

  before(async () => {
    directory = suite.directory();
    const tgt = await suite.tgt({
      luns: [{ sizeBytes: 16 * mebibyte }, { sizeBytes: 16 * mebibyte }],
    });
    proxy = await ScriptedProxy.start(tgt.port);
    suite.onCleanUp(() => proxy.stop());
    const config = [
      `[control]\nsocket = "${directory}/control"`,
      '[memory]\narena_size = "64MiB"',
      '[limits]\nhandshake_timeout = 2\nstall_timeout = 2\nclients = 40',
      volume('good', tgt.urls[0]),
      volume('bad', tgt.urls[1].replace(`:${tgt.port}/`, `:${proxy.port}/`)),
    ];
    daemon = await suite.iserd('--config', suite.file(config.join('\n')));
    await waitUntil('both serve', async () =>
      (await status()).volumes.every(({ state }) => state === 'serving'),
    );
  });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    proxy.behave();
    await waitUntil(
      'the bad volume works again',
      async () => {
        const { sessions } = await volumeStatus('bad');
        return sessions.every(
          ({ state, inFlight, clients }) => state === 'up' && inFlight === 0 && clients === 0,
        );
      },
      60_000,
    );
    await qemuIo(uri('bad'), 'write -P 7 1M 64k', 'read -P 7 1M 64k');
  });

  function volume(name: string, url: string): string {
    return [
      '[[volume]]',
      `name = "${name}"`,
      `url = "${url}"`,
      `socket = "${directory}/${name}"`,
      `lanes = ${lanes}`,
      'nop_interval = 1',
      'nop_timeout = 1',
      '',
    ].join('\n');
  }

  const uri = (name: string): string => `nbd+unix:///${name}?socket=${directory}/${name}`;
  const status = async (): Promise<Status> =>
    statusSchema.parse(await callControl(join(directory, 'control'), 'status'));

  async function volumeStatus(name: string): Promise<Status['volumes'][number]> {
    const found = (await status()).volumes.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no volume ${name}`);
    return found;
  }

  /** Writes and verifies the good volume while `deeds` are done to the bad one. */
  async function whileGoodWorks(deeds: () => Promise<void>): Promise<void> {
    const load = runOk(
      'fio',
      [
        '--name=good',
        '--ioengine=nbd',
        `--uri=${uri('good')}`,
        '--rw=randwrite',
        '--bsrange=4k-128k',
        '--size=8M',
        '--iodepth=8',
        '--verify=crc32c',
        '--verify_fatal=1',
        '--verify_state_save=0',
        '--time_based',
        `--runtime=${loadSeconds}`,
      ],
      { cwd: directory },
    );
    // Whatever the deeds end with, the load is waited for.
    const [, deed] = await Promise.allSettled([load, deeds()]);
    await load;
    if (deed.status === 'rejected') throw deed.reason as Error;
    for (const session of (await volumeStatus('good')).sessions) {
      expect(session).to.include({ state: 'up', errors: 0, reconnects: 0, clientsDropped: 0 });
    }
  }

  async function client(name: string, ...bytes: readonly Uint8Array[]): Promise<Socket> {
    const socket = createConnection(join(directory, name));
    sockets.push(socket);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.pause();
    if (bytes.length > 0) socket.write(concat(...bytes));
    return socket;
  }

  const dropped = async (): Promise<number> =>
    (await volumeStatus('bad')).sessions.reduce((sum, each) => sum + each.clientsDropped, 0);

  for (const [what, end, script] of lies) {
    it(`whose target sends ${what} do not disturb another one, and no request is lost`, async () => {
      await whileGoodWorks(async () => {
        const logged = daemon.log.length;
        proxy.script = script();
        await qemuIo(
          uri('bad'),
          'write -P 3 0 256k',
          'read -P 3 0 256k',
          'write -P 4 0 64k',
          'read -P 4 0 64k',
        );
        await waitUntil('the lie is noticed', () => end.test(daemon.log.slice(logged)));
        expect(daemon.log.slice(logged).split('\n').length, 'lines of log').to.be.below(200);
      });
    });
  }

  it('whose target stalls with a full house of clients do not disturb another one', async () => {
    proxy.script = () => 'stall';
    const go = concat(u32(clientFlagsBoth), option(7, infoData('bad')));
    const reads = concat(...Array.from({ length: 128 }, (_, i) => read(BigInt(i), 0, mebibyte)));
    for (let i = 0; i < 20; i++) await client('bad', go, reads);
    await whileGoodWorks(() => Promise.resolve());
  });

  it('whose target closes after every answer do not disturb another one', async () => {
    let answers = 0;
    proxy.script = (pdu) => (fullFeature(pdu) && ++answers % 2 === 0 ? 'close' : pdu);
    await client('bad', u32(clientFlagsBoth), option(7, infoData('bad')), read(1n, 0, mebibyte));
    await whileGoodWorks(() => Promise.resolve());
    expect(proxy.accepted).to.be.greaterThan(lanes);
  });

  it('that send and never read are dropped, and do not disturb another one', async () => {
    const before = await dropped();
    const go = concat(u32(clientFlagsBoth), option(7, infoData('bad')));
    const reads = concat(...Array.from({ length: 500 }, (_, i) => read(BigInt(i), 0, mebibyte)));
    for (let i = 0; i < 10; i++) await client('bad', go, reads);
    await whileGoodWorks(async () => {
      await waitUntil('they are dropped', async () => (await dropped()) === before + 10);
    });
    expect(daemon.log).to.not.match(/volume.*good.*replies-not-taken/);
  });

  it('that stop within a write are dropped, and do not disturb another one', async () => {
    const before = await dropped();
    const half = write(1n, 0, new Uint8Array(8 * mebibyte)).subarray(0, 100_000);
    for (let i = 0; i < 20; i++) {
      await client('bad', u32(clientFlagsBoth), option(7, infoData('bad')), half);
    }
    await whileGoodWorks(async () => {
      await waitUntil('they are dropped', async () => (await dropped()) === before + 20);
    });
  });

  it('that say nothing are dropped, those too many are turned away, and another one is not disturbed', async () => {
    const before = await dropped();
    for (let i = 0; i < 60; i++) await client('bad');
    await whileGoodWorks(async () => {
      await waitUntil('they are dropped', async () => (await dropped()) === before + 40);
    });
  });

  it('that send noise are dropped, and do not disturb another one', async () => {
    const before = await dropped();
    for (let i = 0; i < 20; i++) await client('bad', new Uint8Array(5000).fill(i));
    await whileGoodWorks(async () => {
      await waitUntil('they are dropped', async () => (await dropped()) === before + 20);
    });
  });
});
