/**
 * One lane in a process of its own, without the daemon around it: what its heap and its CPU time show is the data path's.
 * Started by LaneProcess; serves NBD clients on a Unix socket and answers every message with the state of its meters.
 *
 *   argv: socket path, then a session specification as JSON, or "null" for a null device
 */
import { PerformanceObserver, constants } from 'node:perf_hooks';
import { defaultSpinMicroseconds } from '../../daemon/config/schema.ts';
import { Lane } from '../../daemon/lane/lane.ts';
import type { SessionSpec } from '../../daemon/lane/messages.ts';
import { NbdConnection, NbdCounter, nbdCounterCount } from '../../src/nbd/index.ts';
import { loadNative } from '../../src/reactor/native.ts';
import { systemTimers } from '../../src/timers.ts';
import type { Meters } from './lane-process.ts';
import { NullDevice, nullDeviceBytes } from './null-device.ts';

const [socketPath, specification] = process.argv.slice(2);
const exportName = '';

let scavenges = 0;
let markCompacts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
    if (kind === constants.NODE_PERFORMANCE_GC_MINOR) scavenges++;
    if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) markCompacts++;
  }
}).observe({ entryTypes: ['gc'] });

const lane = new Lane(
  {
    registration: 'cache',
    pinLimitBytes: 64 * 2 ** 20,
    arenaBytes: 256 * 2 ** 20,
    hugePages: false,
    spinMicroseconds: defaultSpinMicroseconds,
    requestCapacity: 1024,
    lanes: 1,
    sessions: 1,
  },
  () => undefined,
);
const { reactor, pool, requests, shares, clientLimits } = lane.memory;

/** Requests that NBD clients have made so far. */
type CountRequests = () => Promise<number>;

async function serveTarget(
  spec: SessionSpec,
): Promise<{ serve: (fd: number) => void; count: CountRequests }> {
  const { session } = await lane.handlers.openSession(spec);
  let client = 0;
  return {
    serve: (fd) => {
      const handshake = true;
      void lane.handlers.serveSocket({ session, client: client++, fd, handshake, exportName });
    },
    count: async () => {
      const { sessions } = await lane.handlers.statistics({});
      return sessions[0].reads + sessions[0].writes + sessions[0].others;
    },
  };
}

function serveNull(): { serve: (fd: number) => void; count: CountRequests } {
  const device = new NullDevice(reactor, requests, nullDeviceBytes);
  const counters = new Float64Array(nbdCounterCount);
  const nbdExport = { name: exportName, description: 'null', device };
  const share = shares.open();
  return {
    serve: (fd) => {
      new NbdConnection(fd, {
        reactor,
        pool,
        timers: systemTimers,
        counters,
        limits: clientLimits,
        share,
        serve: { exports: { find: () => nbdExport, list: () => [nbdExport] } },
        events: { onClosed: () => undefined },
      }).start();
    },
    count: () => Promise.resolve(counters[NbdCounter.reads] + counters[NbdCounter.writes]),
  };
}

const spec = JSON.parse(specification) as SessionSpec | null;
const { serve, count } =
  spec === null
    ? serveNull()
    : await serveTarget({ ...spec, isid: Uint8Array.from(Object.values(spec.isid)) });

reactor.openListener(loadNative().system.listenUnix(socketPath, 0o600, 8), {
  onAccepted: (fd) => {
    if (fd >= 0) serve(fd);
  },
});

async function meters(): Promise<Meters> {
  const requestsDone = await count();
  const { user, system } = process.cpuUsage();
  const { heapUsed } = process.memoryUsage();
  return {
    requests: requestsDone,
    scavenges,
    markCompacts,
    heapUsedBytes: heapUsed,
    userMicroseconds: user,
    systemMicroseconds: system,
  };
}

process.on('message', (message) => {
  if (message === 'close')
    void lane.handlers.close({}).then(() => {
      process.disconnect();
    });
  else void meters().then((state) => process.send?.(state));
});
process.send?.('ready');
