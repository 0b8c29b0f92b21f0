/** What an operator sees agrees with what clients have done: `iserctl status`, `iserctl stats`, metrics, log. */
import { expect } from 'chai';
import { truncateSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { callControl } from '../../daemon/control/client.ts';
import { statsSchema, type VolumeStats } from '../../daemon/control/statistics-schema.ts';
import { statusSchema, type Status } from '../../daemon/control/protocol.ts';
import { Histogram } from '../../src/histogram.ts';
import { DaemonFixture, mebibyte, runIserctl, runIserd } from '../helpers/daemon-fixture.ts';
import { freePort } from '../helpers/free-port.ts';
import { checkMetrics, parseMetrics } from '../helpers/metrics.ts';
import { iserctlPath, iserdPath, run, runOk, type IserdProcess } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';

const sizeBytes = 64 * mebibyte;

/** A daemon with the volumes `data` (two lanes) and `other`, and metrics on a socket. */
class Scene {
  readonly directory: string;
  readonly control: string;
  readonly metricsSocket: string;
  readonly tgt: Tgt;
  readonly iserd: IserdProcess;

  private constructor(directory: string, tgt: Tgt, iserd: IserdProcess) {
    this.directory = directory;
    this.control = join(directory, 'control');
    this.metricsSocket = join(directory, 'metrics');
    this.tgt = tgt;
    this.iserd = iserd;
  }

  static async start(fixture: DaemonFixture): Promise<Scene> {
    const tgt = await fixture.tgt({ luns: [{ sizeBytes }, { sizeBytes }] });
    const directory = fixture.directory();
    const config = fixture.file(`
[control]
socket = "${directory}/control"
[metrics]
socket = "${directory}/metrics"
[[volume]]
name = "data"
url = "${tgt.urls[0]}"
socket = "${directory}/data"
lanes = 2
[[volume]]
name = "other"
url = "${tgt.urls[1]}"
socket = "${directory}/other"
`);
    const iserd = await fixture.iserd('--config', config);
    await readyTwice(iserd);
    return new Scene(directory, tgt, iserd);
  }

  uri(volume: string): string {
    return `nbd+unix:///${volume}?socket=${this.directory}/${volume}`;
  }

  async status(seconds?: number): Promise<Status> {
    const parameters = seconds === undefined ? {} : { seconds };
    return statusSchema.parse(await callControl(this.control, 'status', parameters));
  }

  async stats(volume: string): Promise<VolumeStats> {
    const answer = statsSchema.parse(await callControl(this.control, 'stats', { volume }));
    expect(answer.volumes).to.have.lengthOf(1);
    return answer.volumes[0];
  }

  metrics(): Promise<string> {
    return scrape({ socketPath: this.metricsSocket });
  }
}

function watchStatus(
  fixture: DaemonFixture,
  { control }: Scene,
): ReturnType<DaemonFixture['spawn']> {
  const command = [iserctlPath, 'status', '--watch', '--socket', control];
  return fixture.spawn(process.execPath, command);
}

/** Both volumes serve. */
async function readyTwice(iserd: IserdProcess): Promise<void> {
  while (iserd.timesReady < 2)
    await new Promise((resolve) => iserd.child.stdout?.once('data', resolve));
}

function scrape(place: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...place, path: '/metrics' }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`${response.statusCode}: ${body}`));
      });
    });
    request.on('error', reject);
    request.end();
  });
}

/** Requests of a client that makes none of its own, with libnbd. Wrong ones are sent, too. */
function nbdClient(uri: string, script: string): Promise<string> {
  const begin = `import nbd\nh = nbd.NBD()\nh.set_strict_mode(0)\nh.connect_uri("${uri}")\n`;
  return runOk('/usr/bin/python3', ['-c', `${begin}${script}\nh.shutdown()\n`]);
}

const load = `
for i in range(100): h.pread(4096, i * 4096)
for i in range(40): h.pwrite(b"x" * 8192, i * 8192)
for i in range(3): h.flush()
for i in range(2): h.zero(65536, 0)
for i in range(5):
    try: h.pread(4096, 2**40)
    except nbd.Error: pass
`;

describe('what an operator sees', function () {
  this.timeout(90_000);
  const fixture = DaemonFixture.perTest();

  it('are exactly the requests that clients have made', async () => {
    const scene = await Scene.start(fixture);
    const begun = performance.now();
    // Two connections: one on each lane.
    await nbdClient(scene.uri('data'), load);
    await nbdClient(scene.uri('data'), load);
    const elapsedMicroseconds = (performance.now() - begun) * 1000;

    const stats = await scene.stats('data');
    expect(stats).to.include({
      reads: 200,
      writes: 80,
      flushes: 6,
      writeZeroes: 4,
      trims: 0,
      bytesRead: 200 * 4096,
      bytesWritten: 80 * 8192,
      errors: 0,
      refused: 10,
      reconnects: 0,
      inFlight: 0,
      sessions: 2,
    });
    expect(stats.errorsByReason).to.deep.equal({ 'past-end': 10 });
    const { read, write, flush, other } = stats.latencies;
    const histograms = [read, write, flush, other].map((snapshot) => Histogram.of(snapshot));
    expect(histograms.map(({ count }) => count)).to.deep.equal([200, 80, 6, 4]);
    // One after the other: together they cannot have taken longer than the clients have run.
    expect(histograms.reduce((sum, histogram) => sum + histogram.sum, 0)).to.be.below(
      elapsedMicroseconds,
    );
    expect(histograms[0].quantile(0.5)).to.be.within(5, 50_000);

    const status = await scene.status();
    const sessions = status.volumes[0].sessions;
    expect(sessions.map(({ lane }) => lane)).to.deep.equal([0, 1]);
    expect(sessions.map(({ reads }) => reads)).to.deep.equal([100, 100]);
    expect(status.volumes[1].sessions[0].reads).to.equal(0);

    const text = await scene.metrics();
    const metrics = parseMetrics(text);
    const of = (name: string, labels = ''): number | undefined =>
      metrics.get(`iserd_volume_${name}{volume="data"${labels}}`);
    expect(of('requests_total', ',operation="read"')).to.equal(200);
    expect(of('requests_total', ',operation="write"')).to.equal(80);
    expect(of('requests_total', ',operation="write_zeroes"')).to.equal(4);
    expect(of('read_bytes_total')).to.equal(200 * 4096);
    expect(of('written_bytes_total')).to.equal(80 * 8192);
    expect(of('request_errors_total', ',reason="past-end"')).to.equal(10);
    expect(of('request_duration_seconds_count', ',operation="read"')).to.equal(200);
    expect(of('request_duration_seconds_bucket', ',operation="read",le="+Inf"')).to.equal(200);
    expect(of('request_duration_seconds_sum', ',operation="read"')).to.be.closeTo(
      histograms[0].sum / 1e6,
      1e-9,
    );
    expect(of('state', ',state="serving"')).to.equal(1);
    expect(of('sessions_up')).to.equal(2);
    expect(metrics.get('iserd_lane_heartbeat_age_seconds{lane="0"}')).to.be.below(2);
    const lanes = [0, 1].map((lane) => metrics.get(`iserd_lane_requests_total{lane="${lane}"}`));
    expect(lanes).to.deep.equal([145, 145]);
    const checked = await checkMetrics(fixture.file(text));
    expect(`${checked.stdout}${checked.stderr}`).to.equal('');
  });

  it('is what fio says of the last seconds', async () => {
    const scene = await Scene.start(fixture);
    const target = [
      '--ioengine=nbd',
      `--uri=${scene.uri('data')}`,
      '--size=32m',
      '--output-format=json',
    ];
    const how = [
      '--name=x',
      '--rw=randread',
      '--bs=4k',
      '--iodepth=8',
      '--time_based',
      '--runtime=5',
    ];
    const fio = runOk('fio', [...target, ...how]);
    // In the middle of it, when the daemon has looked for some seconds.
    const busy = await new Promise<Status['volumes'][number]>((resolve, reject) => {
      const look = async (): Promise<void> => {
        const [volume] = (await scene.status(2)).volumes;
        const { readsPerSecond = 0, seconds = 0 } = volume.recent ?? {};
        const isSteady =
          volume.sessions[0].reads + volume.sessions[1].reads > readsPerSecond * seconds * 1.2;
        if (seconds > 1.5 && readsPerSecond > 0 && isSteady) resolve(volume);
        else setTimeout(() => void look().catch(reject), 50);
      };
      look().catch(reject);
    });
    const output = await fio;
    const { jobs } = JSON.parse(output.slice(output.indexOf('{'))) as {
      jobs: { read: { iops: number; total_ios: number; lat_ns: { mean: number } } }[];
    };
    const [{ read }] = jobs;
    const recent = busy.recent!;
    expect(recent.readsPerSecond).to.be.within(read.iops / 4, read.iops * 4);
    expect(recent.bytesReadPerSecond / recent.readsPerSecond).to.be.closeTo(4096, 1);
    expect(recent.latency!.p50Microseconds).to.be.at.most(recent.latency!.p99Microseconds);
    const stats = await scene.stats('data');
    expect(stats.reads).to.equal(read.total_ios);
    // What fio waits for includes what we measure.
    const mean = Histogram.of(stats.latencies.read).mean;
    expect(mean).to.be.within(read.lat_ns.mean / 1000 / 20, read.lat_ns.mean / 1000);
  });

  it('are losses, failures and errors by their reasons', async () => {
    const scene = await Scene.start(fixture);
    await scene.tgt.kill();
    await scene.tgt.launch();
    await nbdClient(scene.uri('other'), 'h.pread(512, 0)');
    const after = await scene.stats('other');
    // A target that is not configured yet may be met before.
    expect(after.reconnects).to.be.at.least(1);
    expect(Object.keys(after.connectionsLost).join()).to.match(/peer-closed|connection-reset/);
    for (const reason of Object.keys({ ...after.connectionsLost, ...after.loginFailures }))
      expect(reason).to.match(/^[a-z-]+$/);

    truncateSync(scene.tgt.files[1], 0);
    await nbdClient(
      scene.uri('other'),
      'try: h.pread(4096, 0)\nexcept nbd.Error as error: assert error.errno == "EIO"\nelse: assert False',
    );
    const failed = await scene.stats('other');
    expect(failed.errorsByReason).to.deep.equal({ 'device-failed': 1 });
    expect(failed.commandFailures).to.deep.equal({ 'medium-error': 1 });
    expect(Histogram.of(failed.latencies.read).count).to.equal(2);
    const metrics = parseMetrics(await scene.metrics());
    expect(metrics.get('iserd_volume_reconnects_total{volume="other"}')).to.equal(after.reconnects);
    expect(
      metrics.get('iserd_volume_command_failures_total{volume="other",cause="medium-error"}'),
    ).to.equal(1);
  });

  it('is there on a terminal, with bars, and redrawn', async () => {
    const scene = await Scene.start(fixture);
    await nbdClient(scene.uri('data'), load);
    const show = fixture.spawn(
      'script',
      [
        '-qec',
        `stty cols 90 rows 50; exec node ${iserctlPath} stats data --watch --socket ${scene.control}`,
        '/dev/null',
      ],
      ['pipe', 'pipe', 'pipe'],
      { ...process.env, LC_ALL: 'C.UTF-8', TERM: 'xterm' },
    );
    const redraws = (): number => show.stdout.split('\x1b[H').length - 1;
    while (redraws() < 3) await new Promise((resolve) => show.child.stdout?.once('data', resolve));
    // Control-C of the terminal.
    show.child.stdin?.write('\x03');
    expect((await show.ended).code).to.equal(0);
    const [, first, second] = show.stdout.split('\x1b[H');
    expect(first)
      .to.match(/read +100 /)
      .and.match(/ µs /)
      .and.match(/█/);
    expect(second).to.match(/last [\d.]+ s: 0 IOPS, 0 B\/s read/);
    for (const line of first.replaceAll(/\x1b\[[?0-9]*[A-Za-z]/g, '').split(/\r?\n/))
      expect(line.length).to.be.at.most(90);
    expect(show.stdout.trimEnd().endsWith('\x1b[?25h'), 'the cursor is back').to.equal(true);
  });

  it('comes again and again in a pipe, until it is told to stop', async () => {
    const scene = await Scene.start(fixture);
    const show = watchStatus(fixture, scene);
    const pictures = (): number => show.stdout.split('VOLUME').length - 1;
    while (pictures() < 3) await new Promise((resolve) => show.child.stdout?.once('data', resolve));
    show.child.kill('SIGINT');
    expect((await show.ended).code).to.equal(0);
    expect(show.stdout).not.to.include('\x1b');
    expect(show.stderr).to.equal('');
  });

  it('survives that the daemon is restarted meanwhile', async () => {
    const scene = await Scene.start(fixture);
    const show = watchStatus(fixture, scene);
    const until = async (text: RegExp): Promise<void> => {
      while (!text.test(show.stdout))
        await new Promise((resolve) => show.child.stdout?.once('data', resolve));
    };
    await until(/VOLUME/);
    await scene.iserd.stop();
    await until(/trying again/);
    show.child.kill('SIGTERM');
    expect((await show.ended).code).to.equal(0);
  });

  it('is for scripts, too, and says what it does not know', async () => {
    const scene = await Scene.start(fixture);
    await nbdClient(scene.uri('data'), load);
    const { stdout } = await runIserctl('stats', 'data', '--json', '--socket', scene.control);
    const { volumes } = JSON.parse(stdout) as {
      volumes: {
        latencies: {
          read: { count: number; p50Microseconds: number; buckets: { count: number }[] };
        };
      }[];
    };
    const { read } = volumes[0].latencies;
    expect(read.count).to.equal(100);
    expect(read.buckets.reduce((sum, { count }) => sum + count, 0)).to.equal(100);
    const wrong = await runIserctl('stats', 'nothing', '--socket', scene.control);
    expect(wrong.code).to.equal(1);
    expect(wrong.stderr).to.equal('iserctl: no volume "nothing"; there is data, other\n');
    const all = await runIserctl('stats', '--socket', scene.control);
    expect(all.stdout)
      .to.match(/^volume data: serving/m)
      .and.match(/^volume other: serving/m);
    expect(all.stdout).not.to.match(/#/);
  });
});

describe('metrics', function () {
  this.timeout(60_000);
  const fixture = DaemonFixture.perTest();

  const start = async (metrics: string): Promise<{ iserd: IserdProcess; directory: string }> => {
    const tgt = await fixture.tgt({ luns: [{ sizeBytes }] });
    const directory = fixture.directory();
    const volume = `[[volume]]\nname = "data"\nurl = "${tgt.urls[0]}"\nsocket = "${directory}/nbd"\n`;
    const config = join(directory, 'iserd.toml');
    writeFileSync(config, `[control]\nsocket = "${directory}/control"\n${metrics}\n${volume}`, {
      mode: 0o600,
    });
    return { iserd: await fixture.iserd('--config', config), directory };
  };

  it('are on a loopback address when asked for', async () => {
    const port = await freePort();
    await start(`[metrics]\nlisten = "127.0.0.1:${port}"`);
    expect(await scrape({ host: '127.0.0.1', port })).to.match(
      /^iserd_volume_state\{volume="data",state="serving"\} 1$/m,
    );
  });

  it('are nowhere by default, and refused where others could reach them', async () => {
    await start('');
    const file = fixture.file('[metrics]\nlisten = "0.0.0.0:9810"\n');
    const { code, stderr } = await runIserd('--config', file);
    expect(code).to.equal(2);
    expect(stderr).to.match(/:2: metrics\.listen: 0\.0\.0\.0 can be reached by others/);
  });

  it('end a start that cannot have its place, which is named', async () => {
    const port = await freePort();
    await start(`[metrics]\nlisten = "127.0.0.1:${port}"`);
    const directory = fixture.directory();
    const volume = `[[volume]]\nname = "x"\nurl = "iscsi://127.0.0.1:1/iqn.2026-11.test:x/1"\nsocket = "${directory}/nbd"`;
    const file = fixture.file(
      `[control]\nsocket = "${directory}/control"\n[metrics]\nlisten = "127.0.0.1:${port}"\n${volume}\n`,
    );
    const { code, stderr } = await runIserd('--config', file);
    expect(code).to.equal(1);
    expect(stderr).to.match(
      new RegExp(`error: metrics on 127\\.0\\.0\\.1:${port}: somebody else listens there`),
    );
  });
});

describe('the log', function () {
  this.timeout(60_000);

  /** What a daemon that cannot start says, with this value of JOURNAL_STREAM. */
  const said = async (stream: string): Promise<string> => {
    const url = 'iscsi://127.0.0.1:1/iqn.2026-11.test:x/1';
    const argv = `${iserdPath} serve ${url} --login-timeout 1 --socket /tmp/iserd-test-no-such/nbd`;
    const command = `JOURNAL_STREAM=${stream} exec ${process.execPath} ${argv}`;
    return (await run('bash', ['-c', command])).stderr;
  };

  it('has the priorities of the journal where standard error is the journal’s', async () => {
    const lines = (await said('$(stat -L -c %d:%i /dev/stderr)')).trimEnd().split('\n');
    for (const line of lines) expect(line).to.match(/^<[3-7]>\S/);
    expect(lines.filter((line) => line.startsWith('<3>'))).to.have.lengthOf.at.least(1);
  });

  it('has the time where it goes elsewhere, whoever has started the daemon', async () => {
    const lines = (await said('1:2')).trimEnd().split('\n');
    for (const line of lines) expect(line).to.match(/^\d{4}-\d\d-\d\dT\S+Z (error|warn|info): /);
  });
});

describe('secrets', function () {
  this.timeout(60_000);
  const fixture = DaemonFixture.perTest();

  it('appear in nothing that the daemon says, whatever goes wrong', async () => {
    const ours = { user: 'initiator', secret: 'Known!Secret+0001' };
    const theirs = { user: 'target', secret: 'Known!Secret+0002' };
    const tgt = await fixture.tgt({ luns: [{ sizeBytes }], chap: ours, mutualChap: theirs });
    const directory = fixture.directory();
    const volume = (name: string, secret: string, url = tgt.urls[0]): string => `
[[volume]]
name = "${name}"
url = "${url}"
socket = "${directory}/${name}"
login_timeout = 1
chap_user = "${ours.user}"
chap_secret_file = "${fixture.file(`${secret}\n`)}"
mutual_chap_user = "${theirs.user}"
mutual_chap_secret_file = "${fixture.file(theirs.secret)}"
`;
    const wrong = 'Known!Secret+0003';
    const config = fixture.file(`
[control]
socket = "${directory}/control"
[metrics]
socket = "${directory}/metrics"
[log]
level = "debug"
${volume('right', ours.secret)}
${volume('wrong', wrong)}
${volume('nowhere', ours.secret, `iscsi://127.0.0.1:1/${tgt.targetName}/1`)}
`);
    const iserd = await fixture.iserd('--config', config);
    await nbdClient(`nbd+unix:///right?socket=${directory}/right`, 'h.pread(512, 0)');
    await tgt.kill();
    await tgt.launch();
    await nbdClient(`nbd+unix:///right?socket=${directory}/right`, 'h.pread(512, 0)');
    // What would a daemon say that is asked nonsense?
    const control = `${directory}/control`;
    const said = [
      await ask(control, `{"jsonrpc":"2.0","id":1,"method":"status","params":{"seconds":"x"}}\n`),
      await ask(control, `{"jsonrpc":"2.0","id":1,"method":"status"}\n`),
      await ask(control, `{"jsonrpc":"2.0","id":1,"method":"stats"}\n`),
      await scrape({ socketPath: `${directory}/metrics` }),
    ];
    const { stdout, stderr } = await iserd.stop();
    expect(stderr)
      .to.match(/login failed [^\n]*volume=wrong/)
      .and.match(/debug: /)
      .and.match(/nowhere/);
    const everything = [...said, stdout, stderr].join('\n');
    for (const secret of [ours.secret, theirs.secret, wrong])
      for (const form of ['utf8', 'hex', 'base64'] as const)
        expect(everything.toLowerCase(), form).not.to.include(
          Buffer.from(secret).toString(form).toLowerCase(),
        );
  });
});

function ask(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = createConnection(path);
    let text = '';
    socket.on('error', reject);
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.endsWith('\n')) return;
      socket.destroy();
      resolve(text);
    });
    socket.write(line);
  });
}
