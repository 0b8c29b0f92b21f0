/** Kernel devices while volumes come, go and change: a mounted, busy ext4 must not notice. */
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callControl } from '../../../daemon/control/client.ts';
import { reloadResult, type ReloadResult } from '../../../daemon/control/messages.ts';
import { statusSchema, type Status } from '../../../daemon/control/protocol.ts';
import { iserctlPath, IserdProcess, run, runOk, type Finished } from '../../helpers/programs.ts';
import { isAttached } from '../guest/block-device.ts';
import { BusyFileSystem } from '../guest/busy-file-system.ts';
import { targets } from '../guest/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const startTimeoutMs = 180_000;

function iserctl(...argv: readonly string[]): Promise<Finished> {
  return run(process.execPath, [iserctlPath, ...argv], { timeoutMs: startTimeoutMs });
}

/** What the kernel logs when it loses or gets a socket. */
async function socketChanges(): Promise<number> {
  const log = await runOk('dmesg', []);
  return (log.match(/nbd\d+: (reconnected socket|Receive control failed|shutting down)/g) ?? [])
    .length;
}

describe('a daemon with a mounted, busy device', function () {
  this.timeout(2 * startTimeoutMs);
  const directory = mkdtempSync(join(tmpdir(), 'iserd-vm-'));
  const control = join(directory, 'control');
  const file = join(directory, 'iserd.toml');
  let iserd: IserdProcess;
  let busy: BusyFileSystem;
  let device: string;

  async function configure(
    ...volumes: readonly { name: string; url: string; lines?: readonly string[] }[]
  ): Promise<void> {
    const parts = await Promise.all(
      volumes.map(async ({ name, url, lines = ['device = "auto"'] }) =>
        [
          ...['[[volume]]', `name = "${name}"`, `url = "${await targets.variable(url)}"`],
          ...lines,
          '',
        ].join('\n'),
      ),
    );
    const initiator = await targets.variable('initiator_name');
    writeFileSync(
      file,
      `[initiator]\nname = "${initiator}"\n[control]\nsocket = "${control}"\n${parts.join('\n')}`,
    );
  }

  const reload = async (): Promise<ReloadResult> =>
    reloadResult.parse(await callControl(control, 'reload'));
  const outcomes = ({ volumes }: ReloadResult): string[] =>
    volumes.map(({ name, outcome }) => `${name} ${outcome}`);
  const status = async (): Promise<Status> =>
    statusSchema.parse(await callControl(control, 'status'));
  const deviceOf = async (name: string): Promise<string | null | undefined> =>
    (await status()).volumes.find((volume) => volume.name === name)?.device;

  const kept = { name: 'busy', url: 'lio_tcp_url' };

  before(async () => {
    await configure(kept);
    iserd = await IserdProcess.start(['--config', file]);
    device = iserd.device ?? '';
    busy = await BusyFileSystem.start(device, join(directory, 'mount'));
  });
  after(async () => {
    await busy.abandon();
    await iserd.stop();
    rmSync(directory, { recursive: true });
  });
  afterEach('show what the daemon said', function () {
    if (this.currentTest?.state === 'failed') console.log(iserd.log.replaceAll(/^/gm, '    | '));
  });

  it('brings and takes others, over and over', async () => {
    const before = await socketChanges();
    for (let round = 0; round < 3; round++) {
      await configure(kept, { name: 'guest', url: 'tgt_tcp_url' });
      expect(outcomes(await reload())).to.deep.equal(['busy unchanged', 'guest added']);
      const other = (await deviceOf('guest')) ?? '';
      expect(isAttached(other)).to.equal(true);
      await runOk('dd', [`if=${other}`, 'of=/dev/null', 'bs=1M', 'count=4', 'iflag=direct']);
      await configure(kept);
      expect(outcomes(await reload())).to.deep.equal(['busy unchanged', 'guest removed']);
      await waitUntil('its device is gone', () => !isAttached(other));
      await busy.progress(startTimeoutMs);
    }
    expect(await deviceOf('busy')).to.equal(device);
    // Those of the other device end; no socket is ever replaced.
    expect(await runOk('dmesg', [])).not.to.match(/reconnected socket/);
    expect(before).to.be.a('number');
  });

  it('logs in anew for another replacement_timeout, and the kernel notices nothing', async () => {
    const before = await socketChanges();
    const changed = { ...kept, lines: ['device = "auto"', 'replacement_timeout = 77'] };
    await configure(changed);
    const { volumes } = await reload();
    expect(volumes).to.deep.equal([
      { name: 'busy', outcome: 'changed', keys: ['replacement_timeout'], reason: null },
    ]);
    await busy.progress(startTimeoutMs);
    expect(await deviceOf('busy')).to.equal(device);
    expect(await socketChanges()).to.equal(before);
    // dead_conn_timeout is the kernel's to know.
    await configure({ ...kept, lines: ['device = "auto"', 'dead_conn_timeout = 777'] });
    const keys = (await reload()).volumes[0].keys;
    expect([...keys].sort()).to.deep.equal(['dead_conn_timeout', 'replacement_timeout']);
    await busy.progress(startTimeoutMs);
    expect(await socketChanges()).to.equal(before);
  });

  it('keeps a change to itself that the target refuses, and serves on as before', async () => {
    await configure({ name: 'busy', url: 'lio_tcp_chap_url' });
    const answer = await iserctl('reload', '--socket', control);
    expect(answer.code, answer.stdout).to.equal(1);
    expect(answer.stdout).to.match(/^busy +(refused|failed) /m);
    await busy.progress(startTimeoutMs);
    expect(await deviceOf('busy')).to.equal(device);
  });

  for (const [what, change] of [
    ['removed', (): Promise<void> => configure()],
    [
      'made read-only',
      (): Promise<void> => configure({ ...kept, lines: ['device = "auto"', 'read_only = true'] }),
    ],
    [
      'moved to another device',
      (): Promise<void> => configure({ ...kept, lines: ['device = "/dev/nbd9"'] }),
    ],
  ] as const) {
    it(`refuses that its volume is ${what}, and says who uses it`, async () => {
      await change();
      const answer = await iserctl('reload', '--socket', control);
      expect(answer.code, answer.stderr).to.equal(1);
      expect(answer.stdout).to.match(
        new RegExp(`^busy +refused .*${device} is in use \\(mounted on ${directory}/mount`, 'm'),
      );
      await busy.progress(startTimeoutMs);
      const { volumes } = await status();
      expect(volumes.map(({ name, state }) => [name, state])).to.deep.equal([['busy', 'serving']]);
    });
  }

  it('refuses iserctl detach', async () => {
    const { code, stderr } = await iserctl('detach', 'busy', '--socket', control);
    expect(code).to.equal(1);
    expect(stderr).to.match(/in use \(mounted on .*--force/);
  });

  it('attaches a volume at run time, detaches it when nobody has it open, or by force', async () => {
    const attach = async (): Promise<string> => {
      const url = await targets.variable('lio_tcp_4k_url');
      const { code, stdout, stderr } = await iserctl('attach', 'more', url, '--control', control);
      expect(code, stderr).to.equal(0);
      return /^more is attached: (\/dev\/nbd\d+)\n$/.exec(stdout)?.[1] ?? stdout;
    };
    const first = await attach();
    expect((await iserctl('detach', 'more', '--socket', control)).code).to.equal(0);
    await waitUntil('it is gone', () => !isAttached(first));
    const second = await attach();
    const user = spawn('sh', ['-c', `exec 3<>${second}; echo open; exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => user.stdout.once('data', resolve));
      const refused = await iserctl('detach', 'more', '--socket', control);
      expect(refused.code).to.equal(1);
      expect(refused.stderr).to.match(/in use \(open in process \d+ \(sleep\)\)/);
      const forced = await iserctl('detach', 'more', '--force', '--socket', control);
      expect(forced.code, forced.stderr).to.equal(0);
    } finally {
      user.kill();
    }
    await waitUntil('it is idle', () => !isAttached(second));
    await busy.progress(startTimeoutMs);
  });

  it('has lost nothing, and lets its volume go when it is unmounted', async () => {
    await configure();
    await busy.finish();
    expect(outcomes(await reload())).to.deep.equal(['busy removed']);
    await waitUntil('the device is gone', () => !isAttached(device));
  });
});
