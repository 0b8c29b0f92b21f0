import { expect } from 'chai';
import { LaneThread } from '../../daemon/lane/lane-thread.ts';
import type { LaneEvent, LaneOptions, SessionSpec } from '../../daemon/lane/messages.ts';
import { makeIsid } from '../../src/iscsi/isid.ts';

const options: LaneOptions = {
  registration: 'cache',
  pinLimitBytes: 2 ** 20,
  arenaBytes: 2 ** 23,
  hugePages: false,
  spinMicroseconds: 0,
  requestCapacity: 16,
  lanes: 1,
  sessions: 1,
};

const entry = new URL('../helpers/lane-worker.mjs', import.meta.url);

/** A session to where nobody listens. */
const spec: SessionSpec = {
  volume: 'dead',
  transport: 'tcp',
  portals: [{ host: '127.0.0.1', port: 1 }],
  targetName: 'iqn.2026-11.test:d',
  lun: 1,
  initiatorName: 'iqn.2026-11.test:us',
  isid: makeIsid(1, 0),
  headerDigest: 'none',
  dataDigest: 'none',
  readOnly: false,
  replacementTimeoutMs: 1000,
  commandTimeoutMs: 1000,
  loginTimeoutMs: 1000,
  startTimeoutMs: 60_000,
  nopIntervalMs: 1000,
  nopTimeoutMs: 1000,
};

describe('a lane’s thread', function () {
  this.timeout(60_000);
  const lanes: LaneThread[] = [];
  afterEach(async () => {
    for (const lane of lanes.splice(0)) await lane.close();
  });

  function start(
    more: Partial<LaneOptions> = {},
    onEvent: (event: LaneEvent) => void = () => undefined,
    onCrash: (error: Error) => void = () => undefined,
  ): LaneThread {
    const lane = new LaneThread(0, { ...options, ...more }, onEvent, onCrash, entry);
    lanes.push(lane);
    return lane;
  }

  async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
    try {
      await promise;
    } catch (error) {
      return error as Error;
    }
    throw new Error('it did not fail');
  }

  it('has a heap that is not collected for a megabyte of garbage', async () => {
    const program = `
      import { parentPort } from 'node:worker_threads';
      import { getHeapSpaceStatistics } from 'node:v8';
      parentPort.on('message', ({ sequence, method }) => {
        const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
        parentPort.postMessage({ sequence, result: young.space_size });
        if (method === 'close') parentPort.close();
      });`;
    const own = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
    const nothing = (): void => undefined;
    const lane = new LaneThread(0, options, nothing, nothing, own);
    lanes.push(lane);
    expect(await lane.call('statistics', {})).to.equal(16 * 2 ** 20);
  });

  it('answers calls, with a heartbeat that advances', async () => {
    const lane = start();
    const first = await lane.call('statistics', {});
    const second = await lane.call('statistics', {});
    expect(first).to.deep.include({ requestsInFlight: 0, sessions: [] });
    expect(second.heartbeat).to.be.greaterThan(first.heartbeat);
  });

  it('gives a failure its code', async () => {
    const parameters = { session: 7, timeoutMs: 0, keepSockets: false };
    const error = await failure(start().call('drainSession', parameters));
    expect(error).to.include({ code: 'no-session', message: 'no session 7 on this lane' });
  });

  it('tells of what happens in it, and gives up an opening when asked to', async () => {
    let tell: () => void = () => undefined;
    const refused = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const lane = start({}, (event) => {
      if (event.event === 'log' && event.fields['end'] === 'connect-refused') tell();
    });
    const opening = failure(lane.call('openSession', spec));
    await refused;
    await lane.call('cancelOpening', { volume: 'dead' });
    expect((await opening).code).to.equal('SESSION_CLOSED');
  });

  it('that crashes refuses the calls that wait, tells why, and refuses every later call', async () => {
    let tell: (error: Error) => void = () => undefined;
    const crashed = new Promise<Error>((resolve) => {
      tell = resolve;
    });
    const lane = start({ arenaBytes: 2 ** 40 }, undefined, tell);
    const waiting = await failure(lane.call('statistics', {}));
    const reason = await crashed;
    expect(reason.message).to.match(/arena size/);
    expect(waiting.message).to.equal(reason.message);
    expect(await failure(lane.call('statistics', {}))).to.equal(reason);
  });

  it('ends when it is closed, which is no crash', async () => {
    let crashes = 0;
    const lane = start({}, undefined, () => crashes++);
    await lane.close();
    await lane.close();
    expect(crashes).to.equal(0);
    expect((await failure(lane.call('statistics', {}))).message).to.match(/lane 0 ended/);
  });
});
