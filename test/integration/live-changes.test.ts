/** Volumes that come, go and change while others serve: the real programs, a real target. */
import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { callControl } from '../../daemon/control/client.ts';
import { eventSchema, type DaemonEvent } from '../../daemon/control/event-schema.ts';
import { reloadResult, type ReloadResult } from '../../daemon/control/messages.ts';
import { statusSchema, type Status } from '../../daemon/control/protocol.ts';
import {
  DaemonFixture,
  mebibyte,
  qemuIo,
  runIserctl,
  type Watched,
} from '../helpers/daemon-fixture.ts';
import { iserctlPath, iserdPath } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitForSocket, waitUntil } from '../helpers/wait.ts';

const password = 'twelve bytes';

describe('a running daemon', function () {
  this.timeout(120_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  /** Of the daemon: its configuration, its sockets. */
  let directory: string;

  before(async () => {
    const lun = { sizeBytes: 16 * mebibyte };
    tgt = await suite.tgt({ luns: [lun, lun, lun] });
  });
  beforeEach(() => {
    directory = fixture.directory();
    mkdirSync(join(directory, 'conf.d'));
  });

  const control = (): string => join(directory, 'control');
  const file = (): string => join(directory, 'iserd.toml');
  const uri = (name: string): string => `nbd+unix:///${name}?socket=${directory}/${name}`;
  const status = async (): Promise<Status> =>
    statusSchema.parse(await callControl(control(), 'status'));
  const states = async (): Promise<Record<string, string>> =>
    Object.fromEntries((await status()).volumes.map(({ name, state }) => [name, state]));
  const iserctl = (...argv: string[]): ReturnType<typeof runIserctl> => runIserctl(...argv);

  function volume(name: string, url: string, ...lines: readonly string[]): string {
    const socket = `socket = "${directory}/${name}"`;
    return ['[[volume]]', `name = "${name}"`, `url = "${url}"`, socket, ...lines, ''].join('\n');
  }

  function configure(...parts: readonly string[]): void {
    writeFileSync(file(), [`[control]\nsocket = "${control()}"\n`, ...parts].join('\n'));
  }

  function dropIn(name: string, ...parts: readonly string[]): string {
    const path = join(directory, 'conf.d', name);
    writeFileSync(path, parts.join('\n'));
    return path;
  }

  async function reload(): Promise<ReloadResult> {
    return reloadResult.parse(await callControl(control(), 'reload'));
  }

  const outcomes = ({ volumes }: ReloadResult): string[] =>
    volumes.map(({ name, outcome }) => `${name} ${outcome}`);

  /** A daemon that listens to iserctl; with volumes, when the first of them serves. */
  async function start(): Promise<Watched> {
    const daemon = fixture.spawn(process.execPath, [iserdPath, '--config', file()]);
    await waitUntil('the control socket is there', () => {
      if (daemon.child.exitCode !== null) throw new Error(daemon.stderr);
      return existsSync(control());
    });
    // The file is there a moment before listen(2).
    await waitForSocket(control());
    return daemon;
  }

  async function stopped(daemon: Watched): Promise<string> {
    daemon.child.kill('SIGTERM');
    const { code, stderr } = await daemon.ended;
    expect(code, stderr).to.equal(0);
    return stderr;
  }

  /** Writes to the second half of a volume and reads back until it is ended; any error is the end's. */
  function keepBusy(name: string): () => Promise<number> {
    const end = new AbortController();
    const work = (async () => {
      let rounds = 0;
      while (!end.signal.aborted) {
        const pattern = `${1 + (rounds++ % 250)}`;
        await qemuIo(uri(name), `write -P ${pattern} 8M 256k`, `read -P ${pattern} 8M 256k`);
      }
      return rounds;
    })();
    work.catch(() => undefined);
    return () => {
      end.abort();
      return work;
    };
  }

  /** A client that stays connected for one long stream of requests: any interruption is an error. It has begun when this resolves. */
  async function longClient(name: string): Promise<Watched> {
    const client = fixture.spawn('fio', [
      ...['--name=long', '--ioengine=nbd', `--uri=${uri(name)}`, '--rw=randrw', '--bs=4k'],
      ...['--iodepth=4', '--size=8m', '--time_based', '--runtime=60'],
    ]);
    await waitUntil('fio writes', async () => {
      if (client.child.exitCode !== null) throw new Error(client.stderr + client.stdout);
      const volumes = (await status()).volumes.filter((volume) => volume.name === name);
      return volumes.some(({ sessions }) => sessions[0].writes > 0);
    });
    return client;
  }

  async function finished(client: Watched): Promise<void> {
    client.child.kill('SIGINT');
    const { stdout, stderr } = await client.ended;
    expect(stdout, stderr).to.match(/err= 0/);
  }

  it('takes up its configuration anew while a client of another volume goes on without an error', async () => {
    configure(volume('busy', tgt.urls[0]), volume('goes', tgt.urls[1]));
    const daemon = await start();
    await waitUntil('both serve', async () =>
      Object.values(await states()).every((state) => state === 'serving'),
    );
    const client = await longClient('busy');
    const finish = keepBusy('busy');
    configure(volume('busy', tgt.urls[0]));
    dropIn('10-comes.toml', volume('comes', tgt.urls[2]));
    expect(outcomes(await reload())).to.deep.equal([
      'busy unchanged',
      'comes added',
      'goes removed',
    ]);
    expect(await states()).to.deep.equal({ busy: 'serving', comes: 'serving' });
    expect(existsSync(join(directory, 'goes'))).to.equal(false);
    await qemuIo(uri('comes'), 'write -P 4 0 64k', 'read -P 4 0 64k');
    dropIn('10-comes.toml', volume('comes', tgt.urls[2], 'replacement_timeout = 7'));
    const changed = await reload();
    expect(outcomes(changed)).to.deep.equal(['busy unchanged', 'comes changed']);
    expect(changed.volumes[1].keys).to.deep.equal(['replacement_timeout']);
    await qemuIo(uri('comes'), 'read -P 4 0 64k');
    expect(await finish()).to.be.above(0);
    expect(client.child.exitCode, client.stderr).to.equal(null);
    const [busy] = (await status()).volumes;
    expect(busy.sessions[0]).to.include({ reconnects: 0, errors: 0 });
    await finished(client);
    await stopped(daemon);
  });

  it('opens another socket for a volume whose clients stay', async () => {
    configure(volume('busy', tgt.urls[0]));
    await start();
    await waitUntil('it serves', async () => (await states())['busy'] === 'serving');
    const client = await longClient('busy');
    configure(volume('busy', tgt.urls[0]).replace('/busy"', '/other"'));
    expect(outcomes(await reload())).to.deep.equal(['busy changed']);
    expect([
      existsSync(join(directory, 'busy')),
      existsSync(join(directory, 'other')),
    ]).to.deep.equal([false, true]);
    await qemuIo(`nbd+unix:///busy?socket=${directory}/other`, 'read 0 4k');
    expect(client.child.exitCode, client.stderr).to.equal(null);
    expect((await status()).volumes[0].sessions[0].clients).to.be.above(0);
    await finished(client);
  });

  it('exchanges the sockets of two volumes', async () => {
    configure(volume('one', tgt.urls[0]), volume('two', tgt.urls[1]));
    await start();
    await waitUntil('both serve', async () =>
      Object.values(await states()).every((state) => state === 'serving'),
    );
    configure(
      volume('one', tgt.urls[0]).replace('/one"', '/two"'),
      volume('two', tgt.urls[1]).replace('/two"', '/one"'),
    );
    expect(outcomes(await reload())).to.deep.equal(['one changed', 'two changed']);
    await qemuIo(`nbd+unix:///one?socket=${directory}/two`, 'read 0 4k');
    await qemuIo(`nbd+unix:///two?socket=${directory}/one`, 'read 0 4k');
  });

  it('keeps a volume as it was when it does not serve with a change', async () => {
    configure(volume('data', tgt.urls[0]));
    await start();
    await waitUntil('it serves', async () => (await states())['data'] === 'serving');
    const dead = `iscsi://127.0.0.1:1/${tgt.targetName}/1`;
    configure(volume('data', dead, 'login_timeout = 0.5'));
    const { code, stdout } = await iserctl('reload', '--socket', control());
    expect(code).to.equal(1);
    expect(stdout).to.match(
      /^data +failed +login_timeout, url: .*connect-refused.*; it serves on as before$|^data +failed +url, login_timeout: .*connect-refused.*; it serves on as before$/m,
    );
    await qemuIo(uri('data'), 'write -P 6 0 4k', 'read -P 6 0 4k');
    configure(volume('data', tgt.urls[0]));
    expect(outcomes(await reload())).to.deep.equal(['data unchanged']);
  });

  it('changes nothing for a bad configuration, and iserctl prints every problem', async () => {
    configure(volume('data', tgt.urls[0]));
    const daemon = await start();
    await waitUntil('it serves', async () => (await states())['data'] === 'serving');
    const one = dropIn('a.toml', volume('data', tgt.urls[1]));
    const two = dropIn('b.toml', '[log]\nlevel = "debug"\n');
    const { code, stderr } = await iserctl('reload', '--socket', control());
    expect(code).to.equal(1);
    expect(stderr.split('\n').slice(0, -1)).to.have.length(3);
    expect(stderr).to.include(
      `${one}:2: volume.#1.name: "data" is used twice, first in ${file()}:`,
    );
    expect(stderr).to.include(`${two}:1: log: only [[volume]] may stand here`);
    expect(await states()).to.deep.equal({ data: 'serving' });
    expect(daemon.stderr).to.match(/not reloaded, nothing has changed/);
  });

  it('does not restart into a bad configuration', async () => {
    configure(volume('data', tgt.urls[0]));
    const daemon = await start();
    await waitUntil('it serves', async () => (await states())['data'] === 'serving');
    writeFileSync(file(), '[control\n');
    const { code, stderr } = await iserctl('restart', '--socket', control());
    expect(code).to.equal(1);
    expect(stderr).to.include(`${file()}:1: `);
    daemon.child.kill('SIGUSR2');
    await waitUntil('it says why', () => / error: not restarted: /.test(daemon.stderr));
    expect(await states()).to.deep.equal({ data: 'serving' });
  });

  it('names what only a restart takes up, and does the rest', async () => {
    configure();
    await start();
    configure('[memory]\npin_limit = "1GiB"\n', volume('data', tgt.urls[0]));
    const { code, stdout } = await iserctl('reload', '--socket', control());
    expect(code).to.equal(0);
    expect(stdout).to.match(/^data +added$/m);
    expect(stdout).to.match(/taken up by "iserctl restart" only: memory\.pin_limit$/m);
    expect((await reload()).restartKeys).to.deep.equal(['memory.pin_limit']);
  });

  it('reads its configuration again at SIGHUP', async () => {
    configure();
    const daemon = await start();
    configure(volume('data', tgt.urls[0]));
    daemon.child.kill('SIGHUP');
    await waitUntil('it serves', async () => (await states())['data'] === 'serving');
    await waitUntil('it says so', () => / info: reloaded: 1 added$/m.test(daemon.stderr));
  });

  it('reads secrets again', async () => {
    const account = { user: 'joe', secret: password };
    const guarded = await fixture.tgt({ luns: [{ sizeBytes: mebibyte }], chap: account });
    const secret = fixture.file('not the password');
    const lines = ['chap_user = "joe"', `chap_secret_file = "${secret}"`, 'login_timeout = 1'];
    configure(volume('data', guarded.urls[0], ...lines));
    await start();
    await waitUntil('it is refused', async () => (await states())['data'] === 'waiting');
    writeFileSync(secret, password);
    const { volumes } = await reload();
    expect(volumes[0]).to.deep.include({ outcome: 'changed', keys: ['chap_secret_file'] });
    await qemuIo(uri('data'), 'read 0 4k');
  });

  describe('has volumes attached at run time that', () => {
    const attach = (name: string, lun: number, ...more: string[]): ReturnType<typeof runIserctl> =>
      iserctl(
        ...['attach', name, tgt.urls[lun], '--socket', join(directory, name)],
        ...['--control', control(), ...more],
      );

    it('serve, survive a restart and a crash, and go when they are detached', async () => {
      configure(volume('data', tgt.urls[0]));
      const first = await start();
      const { code, stdout, stderr } = await attach('guest', 1, '--read-only');
      expect(code, stderr).to.equal(0);
      expect(stdout).to.equal(`guest is attached: ${uri('guest')}\n`);
      expect(outcomes(await reload())).to.deep.equal(['data unchanged']);
      await stopped(first);
      const second = await start();
      const bothServe = async (): Promise<boolean> => {
        const now = await states();
        return now['data'] === 'serving' && now['guest'] === 'serving';
      };
      await waitUntil('both serve again', bothServe);
      expect((await status()).volumes.find(({ name }) => name === 'guest')?.readOnly).to.equal(
        true,
      );
      second.child.kill('SIGKILL');
      await second.ended;
      rmSync(control());
      const third = await start();
      await waitUntil('both serve once more', bothServe);
      const detached = await iserctl('detach', 'guest', '--socket', control());
      expect(detached.stdout).to.equal('guest is detached\n');
      expect(await states()).to.deep.equal({ data: 'serving' });
      await stopped(third);
      await start();
      expect(Object.keys(await states())).to.deep.equal(['data']);
    });

    it('are not detached while a client of theirs is connected, unless forced', async () => {
      configure(volume('data', tgt.urls[0]));
      await start();
      await attach('guest', 1);
      const client = createConnection(join(directory, 'guest'));
      const ended = new Promise((resolve) => client.once('close', resolve));
      await new Promise((resolve) => client.once('data', resolve));
      const refused = await iserctl('detach', 'guest', '--socket', control());
      expect(refused.code).to.equal(1);
      expect(refused.stderr).to.include('1 NBD client is connected');
      expect(await states()).to.deep.equal({ data: 'serving', guest: 'serving' });
      const forced = await iserctl('detach', 'guest', '--force', '--socket', control());
      expect(forced.code, forced.stderr).to.equal(0);
      await ended;
      expect(await states()).to.deep.equal({ data: 'serving' });
    });

    it('are refused where they clash, and leave nothing when they cannot be started', async () => {
      configure(volume('data', tgt.urls[0]));
      await start();
      await waitUntil('it serves', async () => (await states())['data'] === 'serving');
      const clash = await attach('data', 1);
      expect(clash.code).to.equal(1);
      expect(clash.stderr).to.match(
        /^iserctl: name "data" belongs to volume data, of the configuration: "iserctl detach data" frees it\n$/,
      );
      const none = await attach('none', 1, '--login-timeout', '0.3', '--portal', '127.0.0.1:1');
      expect(none.code, none.stderr).to.equal(0);
      await iserctl('detach', 'none', '--socket', control());
      const url = `iscsi://127.0.0.1:1/${tgt.targetName}/1`;
      const dead = await iserctl(
        ...['attach', 'dead', url, '--login-timeout', '0.3', '--socket', join(directory, 'dead')],
        ...['--control', control()],
      );
      expect(dead.code).to.equal(1);
      expect(dead.stderr).to.match(/^iserctl: .*no login in time.*connect-refused/);
      expect(Object.keys(await states())).to.deep.equal(['data']);
    });

    it('become those of the configuration when it has them', async () => {
      configure();
      await start();
      await attach('data', 0);
      configure(volume('data', tgt.urls[0]));
      expect(outcomes(await reload())).to.deep.equal(['data unchanged']);
      configure();
      expect(outcomes(await reload())).to.deep.equal(['data removed']);
    });

    it('are in the way of others in the configuration, which says so', async () => {
      configure();
      await start();
      await attach('data', 0);
      configure(volume('data', tgt.urls[1]));
      const { volumes } = await reload();
      expect(volumes[0].outcome).to.equal('refused');
      expect(volumes[0].reason).to.match(/attached at run time: "iserctl detach data" frees it/);
      expect((await status()).volumes[0].lun).to.equal(1);
    });

    it('are refused by a daemon that serves its command line', async () => {
      const serving = await fixture.serve(tgt.urls[0]);
      const { code, stderr } = await iserctl('reload', '--socket', serving.control);
      expect(code).to.equal(1);
      expect(stderr).to.match(/"iserd --config FILE"/);
    });
  });

  it('brings a detached volume of the configuration back at a reload', async () => {
    configure(volume('data', tgt.urls[0]));
    await start();
    await waitUntil('it serves', async () => (await states())['data'] === 'serving');
    const { stdout } = await iserctl('detach', 'data', '--socket', control());
    expect(stdout).to.match(/^data is detached; it is in the configuration/);
    expect(await states()).to.deep.equal({});
    expect(outcomes(await reload())).to.deep.equal(['data added']);
  });

  it('tells what happens, and that it ends', async () => {
    configure(volume('data', tgt.urls[0]));
    const daemon = await start();
    await waitUntil('it serves', async () => (await states())['data'] === 'serving');
    const argv = ['events', '--socket', control()];
    const json = fixture.spawn(process.execPath, [iserctlPath, ...argv, '--json']);
    const plain = fixture.spawn(process.execPath, [iserctlPath, ...argv]);
    const seen = (): DaemonEvent[] =>
      json.stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => eventSchema.parse(JSON.parse(line)));
    // Nothing says when a follower is there; a reload that changes nothing is an event.
    await waitUntil('both follow', async () => {
      await reload();
      return json.stdout !== '' && plain.stdout !== '';
    });
    configure(volume('data', tgt.urls[0]), volume('more', tgt.urls[1]));
    await reload();
    await tgt.kill();
    await tgt.launch();
    const tells = (volumeName: string, change: string): boolean =>
      seen().some(
        (event) =>
          event.event === 'session' && event.volume === volumeName && event.change === change,
      );
    await waitUntil('the reconnect is told', () => tells('data', 'reconnecting'));
    await waitUntil('the new login is told', () => tells('data', 'logged-in'));
    await stopped(daemon);
    expect((await json.ended).code, json.stderr).to.equal(0);
    expect((await plain.ended).code, plain.stderr).to.equal(0);
    const events = seen();
    const told = events.flatMap((event) =>
      event.event === 'volume' && event.volume === 'more' ? [event.state] : [],
    );
    expect(told).to.deep.equal(['starting', 'serving']);
    expect(
      events.some((event) => event.event === 'reload' && event.reason.includes('1 added')),
    ).to.equal(true);
    expect(plain.stdout).to.match(/^\d{4}-\d\d-\d\dT\S+Z more serving$/m);
    expect(plain.stdout).to.match(/Z iserd stopping \(SIGTERM\)\n(\S+ \S+ [^\n]*\n)*$/);
  });

  it('says without a daemon, and when it is killed, that there is none', async () => {
    const nobody = await iserctl('events', '--socket', '/no/such/socket');
    expect(nobody.code).to.equal(1);
    expect(nobody.stderr).to.match(/is iserd running\?/);
    configure();
    const daemon = await start();
    const follower = fixture.spawn(process.execPath, [
      iserctlPath,
      'events',
      '--socket',
      control(),
    ]);
    await waitUntil('it follows', async () => {
      await reload();
      return follower.stdout !== '';
    });
    daemon.child.kill('SIGKILL');
    const { code, stderr } = await follower.ended;
    expect(code).to.equal(1);
    expect(stderr).to.match(/the daemon closed the connection; "iserctl status" says/);
  });

  it('changes the level of its log', async () => {
    configure(volume('data', tgt.urls[0]));
    const daemon = await start();
    await waitUntil('it serves', async () => (await states())['data'] === 'serving');
    const level = async (...argv: string[]): Promise<string> =>
      (await iserctl('log-level', ...argv, '--socket', control())).stdout;
    expect(await level()).to.equal('info\n');
    expect(daemon.stderr).not.to.match(/ debug: /);
    expect(await level('debug')).to.equal('debug\n');
    await tgt.kill();
    await tgt.launch();
    await waitUntil('a lane has something to say', () =>
      / debug: state .*volume=data/.test(daemon.stderr),
    );
    expect((await iserctl('log-level', 'loud', '--socket', control())).code).to.equal(2);
  });

  it('starts many volumes at once, and dead portals delay none of them', async () => {
    const silent: Server[] = [];
    fixture.onCleanUp(() => silent.map((server) => server.close()));
    const holes: string[] = [];
    for (let i = 0; i < 20; i++) {
      // Accepts, and never says a word.
      const server = createServer().listen(0, '127.0.0.1');
      silent.push(server);
      await new Promise((resolve) => server.once('listening', resolve));
      holes.push(
        `iscsi://127.0.0.1:${(server.address() as { port: number }).port}/${tgt.targetName}/1`,
      );
    }
    const many = Array.from({ length: 64 }, (_, index) =>
      index < holes.length
        ? volume(`hole${index}`, holes[index])
        : volume(`v${index}`, tgt.urls[index % 3]),
    );
    configure(...many);
    const started = performance.now();
    await start();
    await waitUntil('all others serve', async () =>
      Object.entries(await states()).every(
        ([name, state]) => name.startsWith('hole') || state === 'serving',
      ),
    );
    expect(performance.now() - started).to.be.below(15_000);
    const now = await states();
    expect(Object.values(now).filter((state) => state === 'serving')).to.have.length(44);
    expect(Object.values(now).filter((state) => state === 'starting')).to.have.length(20);
  });
});

describe('iserctl check-config', function () {
  this.timeout(60_000);
  const fixture = DaemonFixture.perTest();
  let directory: string;

  beforeEach(() => {
    directory = fixture.directory();
    mkdirSync(join(directory, 'conf.d'));
  });

  const check = (): ReturnType<typeof runIserctl> =>
    runIserctl('check-config', join(directory, 'iserd.toml'));
  const volume = (name: string, ...lines: readonly string[]): string =>
    ['[[volume]]', `name = "${name}"`, 'url = "iscsi://h/iqn.2026-11.test:d/0"', ...lines, ''].join(
      '\n',
    );

  it('says what it has found', async () => {
    writeFileSync(join(directory, 'iserd.toml'), volume('one', 'device = "auto"'));
    writeFileSync(join(directory, 'conf.d/a.toml'), volume('two', 'socket = "/run/two"'));
    writeFileSync(join(directory, 'conf.d/ignored.txt'), 'nonsense');
    const { code, stdout, stderr } = await check();
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(
      /^OK\nVOLUME .*\none +iscsi:\/\/h:3260\/iqn\.2026-11\.test:d\/0 +auto +-\ntwo /,
    );
    expect(readdirSync(join(directory, 'conf.d'))).to.have.length(2);
  });

  it('names every problem of every file at once, with exit code 2', async () => {
    const secret = fixture.file('secret', 0o644);
    const main = join(directory, 'iserd.toml');
    writeFileSync(
      main,
      `[memroy]\n${volume('one', 'device = "auto"', 'lanes = 0')}${volume('two', 'device = "auto"', 'chap_user = "u"', `chap_secret_file = "${secret}"`)}`,
    );
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(directory, 'conf.d', `${name}.toml`));
    writeFileSync(a, 'volume = 7 7\n');
    writeFileSync(b, volume('two', 'device = "auto"'));
    writeFileSync(
      c,
      volume(
        'three',
        'listen = "10.0.0.1:1"',
        'tls_certificate = "/no/cert"',
        'tls_key = "/no/key"',
        'tls_client_ca = "/no/ca"',
      ),
    );
    const { code, stderr } = await check();
    expect(code).to.equal(2);
    const expected = [
      `${main}:1: memroy: unknown key`,
      `${main}:6: volume.#1.lanes: `,
      `${main}:12: volume.#2.chap_secret_file: ${secret}: mode 0644 lets others read`,
      `${a}:1: `,
      `${b}:2: volume.#1.name: "two" is used twice, first in ${main}:8`,
      `${c}:5: volume.#1.tls_certificate: /no/cert: ENOENT`,
    ];
    for (const line of expected) expect(stderr).to.include(line);
    expect(stderr.trimEnd().split('\n')).to.have.length(expected.length);
  });

  it('says that there is no such file', async () => {
    const { code, stderr } = await check();
    expect(code).to.equal(2);
    expect(stderr).to.match(/iserd\.toml: ENOENT/);
  });
});
