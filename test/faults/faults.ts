/** The faults of the matrix. */
import { lioIser, lioProxy, lioTcp, tgtIser, tgtProxy, tgtTcp, type Way } from './bed.ts';
import type { Fault, Stage } from './line.ts';
import { resetLogicalUnit } from './other-initiator.ts';
import type { ProxyMode } from './pdu-proxy.ts';

const direct = [tgtIser, lioIser, tgtTcp, lioTcp];
const everywhere = [...direct];
const tgtWays = [tgtIser, tgtTcp];
const lioWays = [lioIser, lioTcp];

const tpg = '"$_fabric/$iqn_prefix:lio/tpgt_1"';
const loginFailed = /login failed/;
/** A dead peer is noticed in this time. */
const deadPeerMs = 10_000;
/** The peer's end says so; that the emulated one ends may take two seconds of it. */
const atOnceMs = 5000;
/** The first attempts to connect again come at once, after 1 s and after 2 s more. */
const soonMs = 8000;
/** After long outages attempts are up to 30 s apart, and the last one before the end may still be waiting for an answer. */
const lateMs = 48_000;

/** Target number and driver of tgt's target behind the way. */
function tgtTarget({ transport }: Way): { readonly tid: number; readonly lld: string } {
  return transport === 'iser' ? { tid: 1, lld: 'iser' } : { tid: 2, lld: 'iscsi' };
}

async function restart(stage: Stage): Promise<void> {
  if (stage.way.target === 'LIO') {
    await stage.inject('lio_target_down lio');
    await stage.heal('lio_target lio none');
    return;
  }
  const { tid, lld } = tgtTarget(stage.way);
  await stage.inject(`tgt_kick ${tid} ${lld}`);
  await stage.heal('tgt_kill; tgt_up');
}

async function refuseLogins(stage: Stage): Promise<void> {
  const { tid, lld } = tgtTarget(stage.way);
  const acl = `--mode target --tid ${tid} -I ALL`;
  const isTgt = stage.way.target === 'tgt';
  await stage.inject(
    isTgt
      ? `tgtadm --lld ${lld} --op unbind ${acl} && tgt_kick ${tid} ${lld}`
      : `echo 1 >${tpg}/attrib/authentication && echo 0 >${tpg}/enable && echo 1 >${tpg}/enable`,
  );
  await stage.noticed(20_000, loginFailed);
  await stage.hold(30, 4);
  await stage.heal(
    isTgt ? `tgtadm --lld ${lld} --op bind ${acl}` : `echo 0 >${tpg}/attrib/authentication`,
  );
}

/** The wire loses everything for so long. */
function cut(seconds: number): Fault['run'] {
  return async (stage) => {
    await stage.inject('wire_cut');
    await stage.hold(seconds);
    await stage.heal('wire_mend');
  };
}

function spoil(seconds: number, netem: string): Fault['run'] {
  return async (stage) => {
    await stage.inject(`wire_spoil ${netem}`);
    await stage.hold(seconds, Math.min(seconds, 6));
    await stage.heal('wire_clear');
  };
}

/** What comes of a fault, and how soon. */
const lostAtOnce = {
  connection: 'lost',
  detectedWithinMs: atOnceMs,
  recoveredWithinMs: soonMs,
} as const;
const lostInSilence = {
  connection: 'lost',
  detectedWithinMs: deadPeerMs,
  recoveredWithinMs: lateMs,
} as const;
const keptUp = { connection: 'kept', recoveredWithinMs: soonMs } as const;

/** Where a fault happens, and under which load. */
const onTheWire = { needsVm: true, ways: everywhere, load: 'device' } as const;
const throughProxy = {
  ways: [tgtProxy, lioProxy],
  load: 'device',
  settings: { command_timeout: 5 },
} as const;

function proxyIs({ bed }: Stage, mode: ProxyMode): () => void {
  return () => {
    bed.proxy.mode = mode;
  };
}

export const faults: readonly Fault[] = [
  {
    name: 'target killed (kill -9)',
    ways: tgtWays,
    quickWays: [tgtIser],
    load: 'device',
    ...lostAtOnce,
    run: async (stage) => {
      await stage.inject('tgt_kill');
      await stage.hold(2);
      await stage.heal('tgt_up');
    },
  },
  {
    name: 'target restarted',
    ways: everywhere,
    quickWays: [lioTcp],
    load: 'device',
    ...lostAtOnce,
    run: restart,
  },
  {
    name: 'TPG disabled, enabled',
    ways: lioWays,
    quickWays: [lioIser],
    load: 'socket',
    ...lostAtOnce,
    run: async (stage) => {
      await stage.inject(`echo 0 >${tpg}/enable`);
      await stage.hold(3);
      await stage.heal(`echo 1 >${tpg}/enable`);
    },
  },
  {
    name: 'link down 5 s',
    ...onTheWire,
    quickWays: [tgtTcp],
    connection: 'either',
    recoveredWithinMs: 15_000,
    run: cut(5),
  },
  {
    name: 'link down 60 s',
    ...onTheWire,
    quickWays: [],
    ...lostInSilence,
    run: cut(60),
  },
  {
    name: '100 % loss',
    ...onTheWire,
    quickWays: [lioIser],
    ...lostInSilence,
    run: async (stage) => {
      await stage.inject('wire_spoil loss 100%');
      await stage.noticed(30_000);
      await stage.hold(5, 1);
      await stage.heal('wire_clear');
    },
  },
  {
    name: '1 % loss, reordering',
    ...onTheWire,
    quickWays: [tgtIser],
    ...keptUp,
    run: spoil(15, 'delay 2ms loss 1% reorder 75% 50%'),
  },
  {
    name: 'delay 50 ms',
    ...onTheWire,
    quickWays: [lioTcp],
    ...keptUp,
    run: spoil(10, 'delay 25ms'),
  },
  {
    name: 'packets duplicated 10 %',
    ...onTheWire,
    quickWays: [lioIser],
    ...keptUp,
    run: spoil(10, 'duplicate 10%'),
  },
  {
    name: 'responses 2 s late',
    ...throughProxy,
    quickWays: [tgtProxy],
    ...keptUp,
    run: async (stage) => {
      await stage.injectBy(proxyIs(stage, { kind: 'delay', delayMs: 2000 }));
      await stage.hold(10, 5);
      await stage.healBy(proxyIs(stage, { kind: 'pass' }));
    },
  },
  {
    name: 'a response after its command timeout',
    ...throughProxy,
    quickWays: [lioProxy],
    connection: 'either',
    recoveredWithinMs: soonMs,
    logs: /abort task/,
    run: async (stage) => {
      await stage.injectBy(proxyIs(stage, { kind: 'delay-one', delayMs: 9000 }));
      await stage.hold(11);
      await stage.healed();
    },
  },
  {
    name: 'a response twice',
    ...throughProxy,
    quickWays: [tgtProxy],
    load: 'socket',
    ...lostAtOnce,
    logs: /end=protocol-error/,
    run: async (stage) => {
      await stage.injectBy(proxyIs(stage, { kind: 'duplicate-one' }));
      await stage.noticed(5000);
      await stage.healed();
    },
  },
  {
    name: 'target accepts and drops',
    ...throughProxy,
    quickWays: [lioProxy],
    ...lostAtOnce,
    recoveredWithinMs: lateMs,
    run: async (stage) => {
      await stage.injectBy(proxyIs(stage, { kind: 'drop' }));
      await stage.hold(6, 2);
      proxyIs(stage, { kind: 'drop-after-login' })();
      await stage.hold(10, 3);
      await stage.healBy(proxyIs(stage, { kind: 'pass' }));
    },
  },
  {
    name: 'target falls silent',
    ways: [tgtIser, tgtTcp],
    quickWays: [tgtIser],
    load: 'device',
    ...lostInSilence,
    run: async (stage) => {
      await stage.inject('kill -STOP "$tgt_pid"');
      await stage.noticed(30_000);
      await stage.heal('kill -CONT "$tgt_pid"');
    },
  },
  {
    name: 'network swallows everything',
    ...throughProxy,
    quickWays: [],
    load: 'socket',
    ...lostInSilence,
    run: async (stage) => {
      await stage.injectBy(proxyIs(stage, { kind: 'silent' }));
      await stage.noticed(30_000);
      await stage.healBy(proxyIs(stage, { kind: 'pass' }));
    },
  },
  {
    name: 'login refused for 30 s',
    ways: everywhere,
    quickWays: [tgtTcp],
    load: 'device',
    ...lostAtOnce,
    recoveredWithinMs: lateMs,
    logs: loginFailed,
    run: refuseLogins,
  },
  {
    name: 'RDMA device removed, added again',
    ways: [tgtIser, lioIser],
    quickWays: [lioIser],
    load: 'device',
    ...lostInSilence,
    run: async (stage) => {
      await stage.inject('initiator_device_remove 20');
      await stage.hold(3, 1);
      await stage.heal('initiator_device_add');
    },
  },
  {
    name: 'LU reset by another initiator',
    ways: [lioIser, tgtTcp, lioTcp],
    quickWays: [lioIser],
    load: 'device',
    ...keptUp,
    run: async (stage) => {
      // LIO shows the same logical unit over both transports.
      const other = stage.way === lioIser ? lioTcp : stage.way;
      const { targetName, lun, ...portal } = await stage.bed.portalOf(other);
      await stage.injectBy(() => resetLogicalUnit(portal, targetName, lun));
      for (let i = 0; i < 4; i++) {
        await stage.writer.whenAcknowledged(20, 30_000);
        await resetLogicalUnit(portal, targetName, lun);
      }
      await stage.healed();
    },
  },
  {
    name: 'away longer than the replacement timeout',
    ways: everywhere,
    quickWays: [tgtIser],
    load: 'device',
    settings: { replacement_timeout: 6 },
    connection: 'lost',
    recoveredWithinMs: lateMs,
    ioErrors: true,
    run: async (stage) => {
      const isTgt = stage.way.target === 'tgt';
      await stage.inject(isTgt ? 'tgt_kill' : `echo 0 >${tpg}/enable`);
      await stage.writer.whenFailed(32, 20_000);
      await stage.heal(isTgt ? 'tgt_up' : `echo 1 >${tpg}/enable`);
    },
  },
  {
    name: 'target killed, replacement timeout 0',
    ways: tgtWays,
    quickWays: [],
    load: 'device',
    settings: { replacement_timeout: 0 },
    ...lostAtOnce,
    recoveredWithinMs: lateMs,
    ioErrors: true,
    run: async (stage) => {
      await stage.inject('tgt_kill');
      await stage.writer.whenFailed(32, 5000);
      await stage.heal('tgt_up');
    },
  },
  {
    name: 'daemon killed (kill -9), started again',
    needsVm: true,
    ways: everywhere,
    quickWays: [tgtIser],
    load: 'file system',
    connection: 'either',
    recoveredWithinMs: soonMs,
    run: async (stage) => {
      await stage.injectBy(() => stage.volume.crash());
      await stage.hold(3, 1);
      await stage.healBy(() => stage.volume.startAgain());
    },
  },
  {
    // What was in flight waits for the kernel's own timeout, here 5 s and 30 s more: README, "Limits known today".
    name: 'daemon of two lanes killed, started again',
    needsVm: true,
    ways: [tgtIser, lioTcp],
    quickWays: [],
    load: 'file system',
    settings: { lanes: 2, replacement_timeout: 5 },
    connection: 'either',
    recoveredWithinMs: 40_000,
    run: async (stage) => {
      await stage.injectBy(() => stage.volume.crash());
      await stage.healBy(() => stage.volume.startAgain());
    },
  },
  {
    name: 'daemon replaced by its successor',
    needsVm: true,
    ways: everywhere,
    quickWays: [lioTcp],
    load: 'file system',
    connection: 'either',
    recoveredWithinMs: soonMs,
    run: async (stage) => {
      await stage.injectBy(() => stage.volume.succeed());
      await stage.healed();
    },
  },
];
