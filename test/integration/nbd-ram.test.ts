/** The NBD library on the native reactor, in front of a RAM device, against clients that nobody here wrote. */
import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { loadNative } from '../../src/reactor/native.ts';
import { NativeNbdServer } from '../helpers/native-nbd-server.ts';
import {
  clientFlagsBoth,
  concat,
  infoData,
  option,
  read,
  u32,
  write,
} from '../helpers/nbd-client.ts';
import { run, runOk } from '../helpers/programs.ts';

const sizeBytes = 64 * 1024 * 1024;

describe('NBD over the native reactor', function () {
  this.timeout(120_000);
  let server: NativeNbdServer;
  let directory: string;

  beforeEach(() => {
    server = new NativeNbdServer({ sizeBytes });
    directory = mkdtempSync(join(tmpdir(), 'iserd-test-'));
  });

  afterEach(async () => {
    await server.idle();
    expect(server.device.requests.inFlight).to.equal(0);
    expect(server.pool.statistics.usedBytes).to.equal(0);
    server.close();
    rmSync(directory, { recursive: true });
  });

  it('tells nbdinfo what it is', async () => {
    const info = JSON.parse(await runOk('nbdinfo', ['--json', server.uri])) as {
      protocol: string;
      structured: boolean;
      exports: Record<string, unknown>[];
    };
    expect(info.protocol).to.equal('newstyle-fixed');
    expect(info.structured).to.equal(true);
    expect(info.exports[0]).to.deep.include({
      'export-name': 'disk',
      description: 'RAM',
      'export-size': sizeBytes,
      is_read_only: false,
      is_rotational: false,
      can_cache: true,
      can_df: true,
      can_fast_zero: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      block_size_minimum: 512,
      block_size_preferred: 4096,
      block_size_maximum: 32 * 1024 * 1024,
    });
    expect(info.exports[0]['contexts']).to.deep.equal(['base:allocation']);
  });

  it('is listed, and found under the empty name', async () => {
    const uri = `nbd+unix:///?socket=${server.socketPath}`;
    expect(await runOk('nbdinfo', ['--list', uri])).to.contain('export="disk"');
    expect((await runOk('nbdinfo', ['--size', uri])).trim()).to.equal(String(sizeBytes));
  });

  it('maps for nbdinfo', async () => {
    server.device.status = [
      [1 << 20, 0],
      [sizeBytes - (1 << 20), 3],
    ];
    const map = JSON.parse(await runOk('nbdinfo', ['--map', '--json', server.uri])) as unknown[];
    expect(map[0]).to.deep.include({ offset: 0, length: 1 << 20, type: 0 });
  });

  it('copies in and out by nbdcopy over four connections', async () => {
    const [source, copy] = [join(directory, 'in'), join(directory, 'out')];
    writeFileSync(source, randomBytes(sizeBytes));
    await runOk('nbdcopy', ['--connections=4', source, server.uri]);
    expect(Buffer.compare(server.device.bytes, readFileSync(source))).to.equal(0);
    await runOk('nbdcopy', ['--connections=4', server.uri, copy]);
    expect(Buffer.compare(readFileSync(copy), readFileSync(source))).to.equal(0);
  });

  it('does everything that qemu-io asks', async () => {
    const commands = [
      'write -P 0xab 4k 64k',
      'read -P 0xab 4k 64k',
      'write -f -P 0xcd 1M 2M',
      'write -z -u 0 1M',
      'read -P 0 0 1M',
      'discard 1M 1M',
      'write -P 0x11 4M 32M',
      'read -P 0x11 4M 32M',
      'write -P 0x22 513 100',
      'read -P 0x22 513 100',
      'flush',
    ].flatMap((command) => ['-c', command]);
    const output = await runOk('qemu-io', ['-f', 'raw', ...commands, server.uri]);
    expect(output).not.to.match(/fail|error|differ/i);
    expect(server.device.bytes[4 << 20]).to.equal(0x11);
  });

  it('passes fio with verification, mixed sizes and depths', async () => {
    const output = await run('fio', [
      '--name=verify',
      '--ioengine=nbd',
      `--uri=${server.uri}`,
      '--rw=randwrite',
      '--bsrange=512-256k',
      '--iodepth=32',
      '--size=64m',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--serialize_overlap=1',
    ]);
    expect(output.code, output.stdout + output.stderr).to.equal(0);
  });

  it('outlives a client that queues reads, never reads, and vanishes', async () => {
    const socket = createConnection(server.socketPath);
    const reads = Array.from({ length: 5000 }, (_, i) => read(BigInt(i), 0, 1 << 20));
    const opening = concat(u32(clientFlagsBoth), option(7, infoData('disk')));
    await new Promise<void>((resolve) => {
      socket.once('data', () => {
        socket.pause();
        socket.write(concat(opening, ...reads));
        resolve();
      });
    });
    await runOk('nbdinfo', ['--size', server.uri]);
    expect(server.pool.statistics.usedBytes).to.be.below(80 * 1024 * 1024);
    socket.destroy();
    await server.idle();
    expect(server.ends).to.include('connection-reset');
  });

  it('serves 64 idle clients, refuses the next one, and takes clients again when they leave', async () => {
    const sockets = Array.from({ length: 65 }, () => createConnection(server.socketPath));
    const closed = new Promise((resolve) => sockets[64].once('close', resolve));
    sockets[64].resume();
    await closed;
    expect(server.listener.refused).to.equal(1);
    for (const socket of sockets) socket.destroy();
    await server.idle();
    await runOk('nbdinfo', ['--size', server.uri]);
  });

  it('hands a busy socket from connection to connection by drain, without losing a byte', async () => {
    const { system } = loadNative();
    const [clientFd, serverFd] = system.socketPair(0);
    const client = new Socket({ fd: clientFd });
    const rounds = 50;
    const perRound = 200;
    const payload = new Uint8Array(1536);
    let next = 0n;
    let replies = 0;
    let rest = Buffer.alloc(0);
    const seen = new Set<bigint>();
    const done = new Promise<void>((resolve) => {
      client.on('data', (bytes: Buffer) => {
        rest = Buffer.concat([rest, bytes]);
        for (; rest.length >= 16; rest = rest.subarray(16)) {
          expect(rest.readUInt32BE(0)).to.equal(0x67446698);
          expect(rest.readUInt32BE(4)).to.equal(0);
          seen.add(rest.readBigUInt64BE(8));
          if (++replies === rounds * perRound) resolve();
        }
      });
    });
    for (let round = 0; round < rounds; round++) {
      const fd = round === rounds - 1 ? serverFd : system.duplicateFd(serverFd);
      const connection = server.attach(fd);
      for (let i = 0; i < perRound; i++) {
        const bytes = write(next++, 0, payload);
        // In two pieces, so that drain comes in the middle of requests too.
        client.write(bytes.subarray(0, 20));
        client.write(bytes.subarray(20));
      }
      await new Promise((resolve) => setImmediate(resolve));
      if (round === rounds - 1) break;
      connection.drain();
      await server.idle();
      expect(server.ends.pop()).to.equal('drained');
    }
    await done;
    expect(seen.size).to.equal(rounds * perRound);
    client.destroy();
  });
});
