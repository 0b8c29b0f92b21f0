/** The two targets that the VM tests share: started before the first test, ended after the last one. */
import { Shell } from './shell.ts';

/** Bash with targets.sh: `await targets.run('tgt_kill')`. */
export const targets = new Shell('test/vm/guest/targets.sh');

/** LIO's RAM disks take guest memory at once, tgt's file only what is written. Different, so that nobody confuses them. */
const tgtDiskMebibytes = 224;
const lioDiskMebibytes = 192;

before('start tgt and LIO', async function () {
  this.timeout(180_000);
  await targets.run(`tgt_up ${tgtDiskMebibytes}M`);
  await targets.run(`lio_up ${lioDiskMebibytes}`);
  initiatorName = await targets.variable('initiator_name');
});

// LIO goes with the guest: a portal group that a test has blocked cannot be taken down.
after('end tgt', async () => {
  await targets.run('tgt_down');
  await targets.close();
});

let initiatorName = '';

/** The name that the targets let in: `['--initiator-name', …]`. */
export function initiatorOptions(): string[] {
  return ['--initiator-name', initiatorName];
}

export type TargetKind = 'tgt' | 'LIO';

/** A way to the same kind of disk: which target, over what. `url` is the variable of targets.sh that bears it. */
export interface Way {
  readonly name: string;
  readonly target: TargetKind;
  readonly transport: 'iser' | 'tcp';
  readonly url: string;
  readonly sizeBytes: number;
}

const mebibyte = 2 ** 20;

export const ways: readonly Way[] = [
  { name: 'tgt over iSER', target: 'tgt', transport: 'iser', url: 'tgt_iser_url' },
  { name: 'LIO over iSER', target: 'LIO', transport: 'iser', url: 'lio_iser_url' },
  { name: 'tgt over TCP', target: 'tgt', transport: 'tcp', url: 'tgt_tcp_url' },
  { name: 'LIO over TCP', target: 'LIO', transport: 'tcp', url: 'lio_tcp_url' },
].map((way) => ({
  ...way,
  target: way.target as TargetKind,
  transport: way.transport as Way['transport'],
  sizeBytes: (way.target === 'tgt' ? tgtDiskMebibytes : lioDiskMebibytes) * mebibyte,
}));

/** How many sessions of ours the target shows for the way's target name. */
export async function sessionsAtTarget(way: Way): Promise<number> {
  const listing = await targets.run(
    way.target === 'tgt'
      ? `tgtadm --lld ${way.transport === 'iser' ? 'iser' : 'iscsi'} --op show --mode conn --tid ${way.transport === 'iser' ? 1 : 2}`
      : `cat "$_fabric/$iqn_prefix:lio/tpgt_1/dynamic_sessions"`,
  );
  const mark = way.target === 'tgt' ? /^Session:/gm : /iqn\./g;
  return (listing.match(mark) ?? []).length;
}
