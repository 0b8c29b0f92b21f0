/** Less of everything than one would like: descriptors, buffers, huge pages; and more volumes. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { callControl } from '../../daemon/control/client.ts';
import { statusSchema, type Status } from '../../daemon/control/protocol.ts';
import { DaemonFixture, mebibyte, type Watched } from '../helpers/daemon-fixture.ts';
import { NbdSocketClient } from '../helpers/nbd-socket.ts';
import { iserdPath, runOk } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

const fixture = DaemonFixture.perTest();

/** A daemon with a volume for each of these URLs, its files in one directory. */
class ManyVolumes {
  readonly directory = fixture.directory();
  readonly control = `${this.directory}/control`;
  readonly file: string;
  #daemon: Watched | undefined;

  constructor(urls: readonly string[], more = '', volumeLines = '') {
    const volumes = urls.map(
      (url, index) =>
        `[[volume]]\nname = "v${index}"\nurl = "${url}"\nsocket = "${this.socket(index)}"\n${volumeLines}\n`,
    );
    const text = `[control]\nsocket = "${this.control}"\n${more}\n${volumes.join('')}`;
    this.file = fixture.file(text);
  }

  socket(index: number): string {
    return `${this.directory}/v${index}`;
  }

  get daemon(): Watched {
    if (this.#daemon === undefined) throw new Error('the daemon has not been started');
    return this.#daemon;
  }

  /** RLIMIT_NOFILE, once the program is loaded, which takes more than serving. */
  async limitDescriptors(count: number): Promise<void> {
    await runOk('prlimit', ['--pid', String(this.daemon.child.pid), `--nofile=${count}:${count}`]);
  }

  /** Resolves when `count` volumes serve. */
  async start(count: number): Promise<void> {
    const daemon = fixture.spawn(process.execPath, [iserdPath, '--config', this.file]);
    this.#daemon = daemon;
    let ready = 0;
    await new Promise<void>((resolve, reject) => {
      const { stdout } = daemon.child;
      if (stdout === null) throw new Error('standard output is a pipe');
      createInterface({ input: stdout }).on('line', (line) => {
        if (line.startsWith('ready ') && ++ready === count) resolve();
      });
      daemon.ended.then(({ stderr }) => {
        reject(new Error(`iserd ended before ${count} volumes were ready:\n${stderr}`));
      }, reject);
    });
  }

  async status(): Promise<Status> {
    return statusSchema.parse(await callControl(this.control, 'status'));
  }

  connect(index: number): Promise<NbdSocketClient> {
    return NbdSocketClient.connect(this.socket(index), `v${index}`);
  }

  /** SIGTERM; fails unless the daemon ends well. */
  async stop(): Promise<void> {
    this.daemon.child.kill('SIGTERM');
    const { code, stderr } = await this.daemon.ended;
    expect(code, stderr).to.equal(0);
  }
}

/** Bytes that tell where they belong. */
function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4)
    bytes.writeUInt32LE((seed * 2654435761 + at) >>> 0, at);
  return bytes;
}

describe('a volume whose target is dead at the start', function () {
  this.timeout(90_000);
  let alive: Tgt;
  let dead: Tgt;

  beforeEach(async () => {
    alive = await fixture.tgt({ luns: [{ sizeBytes: mebibyte }] });
    dead = await fixture.tgt({ luns: [{ sizeBytes: 2 * mebibyte }] });
    await dead.kill();
  });

  const start = async (): Promise<ManyVolumes> => {
    const volumes = new ManyVolumes([alive.urls[0], dead.urls[0]], '', 'login_timeout = 1');
    await volumes.start(1);
    await waitUntil(
      'it waits',
      async () => (await volumes.status()).volumes[1].state === 'waiting',
    );
    return volumes;
  };

  it('does not keep others from being served, says why it waits, and is served when the target comes', async () => {
    const volumes = await start();
    const [served, waiting] = (await volumes.status()).volumes;
    expect(served.state).to.equal('serving');
    expect(waiting.failure).to.match(/no login in time: 127\.0\.0\.1:\d+: connect-refused/);
    await dead.launch();
    await waitUntil(
      'it is served',
      async () => (await volumes.status()).volumes[1].state === 'serving',
      30_000,
    );
    const client = await volumes.connect(1);
    expect((await client.write(0, pattern(4096, 1))).error).to.equal(0);
    expect((await volumes.status()).volumes[1]).to.include({
      failure: null,
      sizeBytes: 2 * mebibyte,
    });
    await volumes.stop();
  });

  it('does not delay the end of the daemon', async () => {
    const volumes = await start();
    const before = performance.now();
    await volumes.stop();
    expect(performance.now() - before).to.be.lessThan(3000);
  });

  it('does not end the daemon when there is no other volume', async () => {
    const volumes = new ManyVolumes([dead.urls[0]], '', 'login_timeout = 1');
    const started = volumes.start(1);
    await waitUntil('it waits', async () => {
      const status = await volumes.status().catch(() => undefined);
      return status?.volumes[0]?.state === 'waiting';
    });
    await dead.launch();
    await started;
    await volumes.stop();
  });
});

describe('without a file descriptor left', function () {
  this.timeout(90_000);
  /** Enough to serve, too few for many clients. */
  const descriptors = 64;

  it('new clients wait, others are undisturbed, and the next to leave makes room', async () => {
    const tgt = await fixture.tgt({ luns: [{ sizeBytes: mebibyte }] });
    const volumes = new ManyVolumes([tgt.urls[0]], '[limits]\nclients = 128');
    await volumes.start(1);
    await volumes.limitDescriptors(descriptors);
    const clients: NbdSocketClient[] = [await volumes.connect(0)];
    const waiting: Promise<NbdSocketClient>[] = [];
    const exhausted = (): boolean =>
      volumes.daemon.stderr.includes('NBD clients cannot be accepted for now');
    while (!exhausted()) {
      waiting.push(volumes.connect(0));
      const last = waiting[waiting.length - 1];
      await Promise.race([last, waitUntil('it is exhausted', exhausted)]);
    }
    expect(volumes.daemon.stderr).to.match(/EMFILE.*RLIMIT_NOFILE/);
    for (let i = 0; i < 50; i++) {
      expect((await clients[0].write(0, pattern(4096, i))).error).to.equal(0);
      const { error, data } = await clients[0].read(0, 4096);
      expect(error).to.equal(0);
      expect(data.equals(pattern(4096, i))).to.equal(true);
    }
    clients.push(...(await Promise.all(waiting.slice(0, -1))));
    await clients[1].vanish();
    const last = await waiting[waiting.length - 1];
    expect((await last.read(0, 4096)).error).to.equal(0);
    await volumes.stop();
  });

  it('a session that is lost then comes back when there is one again', async () => {
    const tgt = await fixture.tgt({ luns: [{ sizeBytes: mebibyte }] });
    const volumes = new ManyVolumes([tgt.urls[0]], '[limits]\nclients = 128');
    await volumes.start(1);
    await volumes.limitDescriptors(descriptors);
    const first = await volumes.connect(0);
    await tgt.kill();
    const lost = async (): Promise<boolean> =>
      (await volumes.status()).volumes[0].sessions[0].state !== 'up';
    await waitUntil('the loss is noticed', lost);
    const waiting: Promise<NbdSocketClient | undefined>[] = [];
    const exhausted = (): boolean => volumes.daemon.stderr.includes('EMFILE');
    while (!exhausted()) {
      waiting.push(volumes.connect(0).catch(() => undefined));
      await Promise.race([waiting[waiting.length - 1], waitUntil('it is exhausted', exhausted)]);
    }
    await tgt.launch();
    const answer = first.read(0, 4096);
    for (const client of await Promise.all(waiting.slice(0, -1))) await client?.vanish();
    expect((await answer).error, volumes.daemon.stderr).to.equal(0);
    await volumes.stop();
  });
});

describe('a small arena', function () {
  this.timeout(120_000);
  const luns = 4;
  const clientsEach = 4;
  const requestsEach = 8;

  it('makes many clients with large requests wait, and loses none, also over a reconnect', async () => {
    const sizeBytes = 64 * mebibyte;
    const tgt = await fixture.tgt({ luns: Array.from({ length: luns }, () => ({ sizeBytes })) });
    const volumes = new ManyVolumes(tgt.urls, '[memory]\narena_size = "16MiB"');
    await volumes.start(luns);
    let done = 0;
    const work = async (lun: number, index: number): Promise<void> => {
      const client = await volumes.connect(lun);
      const area = index * (sizeBytes / clientsEach);
      const requests = Array.from({ length: requestsEach }, (_, i) => ({
        offset: area + i * 2 * mebibyte,
        // From 64 KiB to 2 MiB.
        payload: pattern(65_536 << (i % 6), 1000 * lun + 100 * index + i),
      }));
      const writes = requests.map(async ({ offset, payload }) => {
        const { error } = await client.write(offset, payload);
        done++;
        return error;
      });
      expect(await Promise.all(writes)).to.deep.equal(requests.map(() => 0));
      const reads = await Promise.all(
        requests.map(({ offset, payload }) => client.read(offset, payload.length)),
      );
      reads.forEach(({ error, data }, i) => {
        expect(error).to.equal(0);
        expect(data.equals(requests[i].payload), `request ${i}`).to.equal(true);
      });
    };
    const all = Promise.all(
      Array.from({ length: luns * clientsEach }, (_, i) => work(i % luns, Math.floor(i / luns))),
    );
    await waitUntil('some requests are done', () => done > 10);
    await tgt.kill();
    await tgt.launch();
    await all;
    const { lanes, volumes: served } = await volumes.status();
    expect(Math.max(...lanes.map(({ peakUsedBytes }) => peakUsedBytes))).to.be.greaterThan(
      8 * mebibyte,
    );
    for (const { sessions } of served) expect(sessions[0].errors).to.equal(0);
    await volumes.stop();
  });
});

describe('huge pages that are not there', function () {
  this.timeout(60_000);

  it('are done without, with one warning', async function () {
    if (!/^HugePages_Free:\s+0$/m.test(readFileSync('/proc/meminfo', 'utf8'))) this.skip();
    const tgt = await fixture.tgt({ luns: [{ sizeBytes: mebibyte }, { sizeBytes: mebibyte }] });
    const volumes = new ManyVolumes(tgt.urls, '[memory]\nhuge_pages = true');
    await volumes.start(2);
    const client = await volumes.connect(0);
    expect((await client.write(0, pattern(65_536, 3))).error).to.equal(0);
    expect((await volumes.status()).lanes).to.have.length(2);
    expect(volumes.daemon.stderr.match(/no huge pages to be had/g)).to.have.length(1);
    await volumes.stop();
  });
});

describe('64 volumes at once', function () {
  this.timeout(120_000);
  const count = 64;

  it('are served by one daemon, and stopped', async () => {
    const tgt = await fixture.tgt({
      luns: Array.from({ length: count }, () => ({ sizeBytes: 4 * mebibyte })),
    });
    const volumes = new ManyVolumes(tgt.urls);
    await volumes.start(count);
    const { volumes: served, lanes } = await volumes.status();
    expect(served.filter(({ state }) => state === 'serving')).to.have.length(count);
    expect(lanes.length).to.be.at.most(16);
    for (const index of [0, 31, 63]) {
      const uri = `nbd+unix:///v${index}?socket=${volumes.socket(index)}`;
      expect(await runOk('nbdinfo', ['--size', uri])).to.equal(`${4 * mebibyte}\n`);
      const source = fixture.file('');
      await runOk('bash', ['-c', `head -c ${4 * mebibyte} /dev/urandom >${source}`]);
      await runOk('nbdcopy', [source, uri]);
      expect(readFileSync(tgt.files[index]).equals(readFileSync(source))).to.equal(true);
    }
    const status = readFileSync(`/proc/${volumes.daemon.child.pid}/status`, 'utf8');
    const rssKib = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    expect(rssKib).to.be.lessThan(600 * 1024);
    await volumes.stop();
  });
});
