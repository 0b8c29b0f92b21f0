/** Over iSER: too little memory may be locked, the connection is lost again and again, the kernel has no NBD client. */
import { expect } from 'chai';
import { chmodSync } from 'node:fs';
import { callControl } from '../../../daemon/control/client.ts';
import { statusSchema, type Status } from '../../../daemon/control/protocol.ts';
import { DaemonFixture, type Watched } from '../../helpers/daemon-fixture.ts';
import {
  openFds,
  ownLane,
  residentBytes,
  sessionSpec,
  verbsObjects,
} from '../../helpers/own-lane.ts';
import { iserdPath, run, runOk } from '../../helpers/programs.ts';
import { ReconnectingSession } from '../../helpers/reconnect-cycles.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { initiatorOptions, targets, ways } from '../guest/machine.ts';

const mebibyte = 2 ** 20;
const overIser = ways.filter(({ transport }) => transport === 'iser');
const fixture = DaemonFixture.perTest();

afterEach('show at once what failed', function () {
  if (this.currentTest?.state !== 'failed') return;
  console.log(this.currentTest.err?.message.replaceAll(/^/gm, '    ! '));
});

/** `iserd serve` as nobody, who may lock so many bytes. */
async function serveAsNobody(url: string, memlockBytes: number, ...options: readonly string[]) {
  const directory = fixture.directory();
  chmodSync(directory, 0o777);
  const socket = `${directory}/nbd`;
  const control = `${directory}/control`;
  const daemon = fixture.spawn('prlimit', [
    `--memlock=${memlockBytes}:${memlockBytes}`,
    ...['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
    ...[process.execPath, iserdPath, 'serve', await targets.variable(url), ...initiatorOptions()],
    ...['--socket', socket, '--control-socket', control, ...options],
  ]);
  const status = async (): Promise<Status> =>
    statusSchema.parse(await callControl(control, 'status'));
  return { daemon, status, uri: `nbd+unix:///serve?socket=${socket}` };
}

async function ready(daemon: Watched): Promise<void> {
  const { child } = daemon;
  await waitUntil(
    'iserd is ready',
    () => {
      if (child.exitCode !== null) throw new Error(`iserd ended:\n${daemon.stderr}`);
      return daemon.stdout.includes('ready ');
    },
    90_000,
  );
}

/** Writes and reads back blocks of many lengths, 16 at a time. */
async function verifyBy(uri: string, ...options: readonly string[]): Promise<void> {
  await runOk('fio', [
    ...['--name=verify', '--ioengine=nbd', `--uri=${uri}`, '--rw=randwrite', '--size=24m'],
    ...['--bssplit=4k/40:64k/30:512k/20:1m/10', '--iodepth=16', '--serialize_overlap=1'],
    ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', ...options],
  ]);
}

async function end(daemon: Watched): Promise<void> {
  daemon.child.kill('SIGTERM');
  const { code, stderr } = await daemon.ended;
  expect(code, stderr).to.equal(0);
}

for (const way of overIser) {
  describe(`little memory may be locked: ${way.name}`, () => {
    // tgtd 1.0.85 ends when a connection is given up before its login, as this one is.
    if (way.target === 'LIO') {
      it('too little for a connection is an error that names the limit and how to raise it', async () => {
        const { daemon } = await serveAsNobody(way.url, 64 * 1024, '--login-timeout', '2');
        const { code, stderr } = await daemon.ended;
        expect(code).to.equal(1);
        expect(stderr).to.match(
          /error: volume serve: .*ENOMEM|error: volume serve: .*Cannot allocate memory/,
        );
        expect(stderr).to.match(/RLIMIT_MEMLOCK allows 64 KiB.*LimitMEMLOCK/);
      });
    }

    it('enough for one only makes requests take turns', async () => {
      const { daemon, status, uri } = await serveAsNobody(way.url, 6 * mebibyte);
      await ready(daemon);
      expect(daemon.stderr).to.include('RLIMIT_MEMLOCK lowers the pin limit');
      await verifyBy(uri);
      const { lanes, volumes } = await status();
      const [registration] = lanes[0].registrations;
      expect(registration.pinnedBytes).to.be.at.most(6 * mebibyte);
      expect(registration.evictions).to.be.greaterThan(0);
      expect(volumes[0].sessions[0]).to.include({ errors: 0, reconnects: 0 });
      await end(daemon);
    });

    it('and less and less of it while I/O runs is no error', async () => {
      const { daemon, status, uri } = await serveAsNobody(way.url, 96 * mebibyte);
      await ready(daemon);
      const registration = async () => (await status()).lanes[0].registrations[0];
      // On average 10 MiB are in flight.
      const verified = verifyBy(uri, '--loops=3', '--iodepth=48');
      await waitUntil(
        'requests have pinned more than will be allowed',
        async () => (await registration()).pinnedBytes > 8 * mebibyte,
      );
      const { retries } = await registration();
      const limit = 6 * mebibyte;
      await runOk('prlimit', [`--pid=${daemon.child.pid}`, `--memlock=${limit}:${limit}`]);
      await verified;
      // The kernel refused with ENOMEM, and had it after something was evicted.
      expect((await registration()).retries).to.be.greaterThan(retries);
      expect((await status()).volumes[0].sessions[0]).to.include({ errors: 0, reconnects: 0 });
      await end(daemon);
    });
  });
}

const cycles = Number(process.env['ISERD_RECONNECT_CYCLES'] ?? 100);
const warmUp = 20;
/** What a heap may grow by between two collections. */
const allowedGrowthBytes = 48 * mebibyte;

for (const way of overIser) {
  describe(`${cycles} reconnects: ${way.name}`, function () {
    this.timeout(3_600_000);

    it('leave queue pairs, registrations, descriptors and memory as they were', async () => {
      const lane = ownLane(16 * mebibyte);
      fixture.onCleanUp(() => lane.handlers.close({}));
      const reconnecting = new ReconnectingSession(
        lane,
        sessionSpec(await targets.variable(way.url), initiatorOptions()[1]),
      );
      await reconnecting.session.start();
      await reconnecting.reconnect(warmUp);
      const state = async () => ({
        fds: openFds(),
        bytes: lane.memory.sessionPool.statistics.usedBytes,
        verbs: await verbsObjects(),
      });
      const before = await state();
      const rssBefore = residentBytes();
      const begin = performance.now();
      await reconnecting.reconnect(cycles);
      const seconds = (performance.now() - begin) / 1000;
      const grown = (residentBytes() - rssBefore) / mebibyte;
      const after = await state();
      console.log(
        `      ${cycles} cycles in ${seconds.toFixed(1)} s, RSS ${grown.toFixed(1)} MiB more, ${JSON.stringify(after)}`,
      );
      expect(after).to.deep.equal(before);
      expect(grown * mebibyte).to.be.lessThan(allowedGrowthBytes);
      await reconnecting.session.close();
    });
  });
}

describe('a kernel without the NBD client', () => {
  before(async () => {
    await runOk('rmmod', ['nbd']);
    // Nobody loads it again: netlink asks for it by alias.
    await targets.run(
      'mkdir -p /etc/modprobe.d && echo "install nbd /bin/false" >/etc/modprobe.d/no-nbd.conf',
    );
  });
  after(async () => {
    await targets.run('rm /etc/modprobe.d/no-nbd.conf');
    await runOk('modprobe', ['nbd']);
  });

  for (const way of ways) {
    it(`is an error as soon as the logical unit is known: ${way.name}`, async () => {
      const { code, stderr } = await run(process.execPath, [
        ...[iserdPath, 'serve', await targets.variable(way.url), ...initiatorOptions()],
        ...['--device', 'auto', '--log-level', 'debug'],
      ]);
      expect(code, stderr).to.equal(1);
      expect(stderr).to.match(/error: volume serve: .*modprobe nbd/);
      // Loading the program takes most of the time here, and longer when it is not in the page cache.
      const seconds = (at(stderr, 'error: volume serve') - at(stderr, 'info: logged in')) / 1000;
      expect(seconds, stderr).to.be.lessThan(20);
    });
  }
});

/** When the first line with this text was logged, in milliseconds. */
function at(log: string, text: string): number {
  const line = log.split('\n').find((each) => each.includes(text)) ?? '';
  return Date.parse(line.split(' ')[0]);
}
