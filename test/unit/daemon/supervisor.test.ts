import { expect } from 'chai';
import winston from 'winston';
import type { Status } from '../../../daemon/control/protocol.ts';
import { daemonStatus } from '../../../daemon/control/status.ts';
import type { EventReport } from '../../../daemon/events.ts';
import type {
  LeftDevice,
  OwnedDevice,
  OwnedDeviceRequest,
} from '../../../daemon/restart/device-succession.ts';
import type { SessionSpec } from '../../../daemon/lane/messages.ts';
import type { ListenPlace } from '../../../daemon/socket-listener.ts';
import { StatisticsSampler } from '../../../daemon/statistics/sampler.ts';
import { Supervisor } from '../../../daemon/supervisor.ts';
import type { Volume } from '../../../daemon/volume/volume.ts';
import type { VolumeSpec } from '../../../daemon/volume/spec.ts';
import { systemTimers } from '../../../src/timers.ts';
import { CodedError } from '../../../src/errors.ts';
import { StopMode } from '../../../daemon/volume/device.ts';
import { FakeLane } from '../../helpers/fake-lane.ts';

const laneOptions = {
  registration: 'cache',
  pinLimitBytes: 0,
  arenaBytes: 0,
  hugePages: false,
  spinMicroseconds: 0,
  requestCapacity: 0,
} as const;

function spec(name: string, lanes = 1, more: Partial<VolumeSpec> = {}): VolumeSpec {
  const session = {
    volume: name,
    transport: 'tcp',
    targetName: 'iqn.2026-11.test:d',
    lun: 1,
    readOnly: false,
    replacementTimeoutMs: 1000,
    portals: [{ host: 'h', port: 3260 }],
  };
  return {
    name,
    target: 'iscsi://h/iqn.2026-11.test:d/1',
    device: undefined,
    socket: `/run/${name}`,
    places: 'socket' in more ? [] : [`/run/${name}`],
    sessions: Array.from({ length: lanes }, () => session as unknown as SessionSpec),
    ...more,
  };
}

/** A supervisor whose every surrounding is a fake that keeps a record. */
class Fixture {
  readonly lanes: FakeLane[] = [];
  /** What has happened, in order. */
  readonly record: string[] = [];
  readonly serving: string[] = [];
  readonly failures: Error[] = [];
  readonly listeners = new Map<ListenPlace, (fd: number) => void>();
  readonly clientsClosed: ListenPlace[] = [];
  readonly locked = new Set<string>();
  lockedByOthers: string[] = [];
  /** Of the device. */
  users: string[] = [];
  /** Devices that a predecessor has left. */
  left: LeftDevice[] = [];
  readonly events: EventReport[] = [];
  attachment: Promise<void> = Promise.resolve();
  attachRequest: OwnedDeviceRequest | undefined;
  clientsEnded = 0;
  readonly logger = winston.createLogger({ silent: true });
  readonly supervisor: Supervisor;

  constructor(
    maximumLanes: number,
    prepare: (lane: FakeLane) => void = () => undefined,
    retries = false,
  ) {
    this.supervisor = new Supervisor({
      lane: laneOptions,
      maximumLanes,
      retries,
      createLane: (index, onEvent, onCrash) => {
        const lane = new FakeLane(index, onEvent, onCrash);
        prepare(lane);
        this.lanes.push(lane);
        return lane;
      },
      surroundings: {
        kernelDevices: {
          attach: (request) => this.#attach(request),
          giveUpExpired: (owner) => {
            this.record.push(`give up ${owner}`);
            return Promise.resolve();
          },
          leftBy: () => Promise.resolve(this.left),
        },
        logins: { run: (login) => login() },
        tell: (event) => {
          this.events.push(event);
        },
        locks: {
          take: (subject) => {
            if (this.lockedByOthers.includes(subject))
              throw new CodedError('already-served', `${subject} is served by process 42`);
            this.locked.add(subject);
            return {
              name: subject,
              fd: 7,
              release: () => {
                this.locked.delete(subject);
              },
            };
          },
        },
        legacy: {
          add: (name) => {
            this.record.push(`bequeath ${name}`);
          },
        },
        listeners: {
          listen: (where, onConnection) => {
            this.listeners.set(where, onConnection);
            return {
              clientClosed: () => {
                this.clientsClosed.push(where);
              },
              close: () => {
                this.record.push(
                  `close ${typeof where === 'object' ? JSON.stringify(where) : where}`,
                );
                this.listeners.delete(where);
                return Promise.resolve();
              },
            };
          },
        },
        onClientEnded: () => {
          this.clientsEnded++;
        },
      },
      logger: this.logger,
      onServing: (volume) => {
        this.serving.push(volume.spec.name);
      },
      onFailure: (error) => {
        this.failures.push(error);
      },
    });
  }

  volume(name: string): Volume {
    const volume = this.supervisor.volumes.find((candidate) => candidate.spec.name === name);
    if (volume === undefined) throw new Error(`no volume ${name}`);
    return volume;
  }

  async #attach(request: OwnedDeviceRequest): Promise<OwnedDevice> {
    this.attachRequest = request;
    await request.serve(Array.from({ length: request.lanes }, (_, index) => 100 + index));
    await this.attachment;
    return {
      index: 0,
      path: '/dev/nbd0',
      serverFds: [],
      deadConnTimeoutSeconds: 60,
      sizeBytes: () => Promise.resolve(undefined),
      resize: () => Promise.resolve(),
      users: () => Promise.resolve(this.users),
      leave: (sockets) => {
        this.record.push(`leave ${sockets.join(',')}`);
      },
      detach: () => {
        this.record.push('detach');
        return Promise.resolve(true);
      },
    };
  }
}

describe('the supervisor', () => {
  const sessionsPerLane = ({ lanes }: Fixture): number[] =>
    lanes.map(({ opened }) => opened.length);

  describe('places sessions', () => {
    it('on as many lanes as there are sessions, at most one per core', async () => {
      const few = new Fixture(4);
      await few.supervisor.start([spec('a'), spec('b')]);
      expect(sessionsPerLane(few)).to.deep.equal([1, 1]);
      const many = new Fixture(2);
      await many.supervisor.start(['a', 'b', 'c', 'd', 'e'].map((name) => spec(name)));
      expect(sessionsPerLane(many)).to.deep.equal([3, 2]);
    });

    it('of one volume on lanes that are all different', async () => {
      const fixture = new Fixture(3);
      await fixture.supervisor.start([spec('a'), spec('b', 3), spec('c', 2)]);
      expect(sessionsPerLane(fixture)).to.deep.equal([2, 2, 2]);
      const [a, b, c] = fixture.lanes.map(({ opened }) => opened.map(({ volume }) => volume));
      for (const volumes of [a, b, c]) expect(new Set(volumes)).to.have.property('size', 2);
    });

    it('on more lanes than cores when a volume asks for them', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([spec('a', 3)]);
      expect(sessionsPerLane(fixture)).to.deep.equal([1, 1, 1]);
    });
  });

  describe('starts volumes', () => {
    it('and tells of each as it begins to serve, not when all have ended their start', async () => {
      let fail: (error: Error) => void = () => undefined;
      const fixture = new Fixture(2, (lane) => {
        lane.onOpen = ({ volume }) =>
          volume === 'slow'
            ? new Promise((_, reject) => {
                fail = reject;
              })
            : Promise.resolve();
      });
      const started = fixture.supervisor.start([spec('slow'), spec('quick')]);
      await Promise.race([started, turns()]);
      expect(fixture.serving).to.deep.equal(['quick']);
      expect(fixture.volume('slow').state).to.equal('starting');
      fail(new Error('no login in time'));
      const failures = await started;
      expect([...failures.keys()]).to.deep.equal(['slow']);
      expect(fixture.volume('slow')).to.include({ state: 'failed', failure: 'no login in time' });
      expect(fixture.volume('quick').state).to.equal('serving');
    });

    it('and keeps one that cannot be started waiting for another attempt, when it is to be retried', async () => {
      const refuse = (lane: FakeLane): void => {
        lane.onOpen = () => Promise.reject(new Error('no login in time'));
      };
      const fixture = new Fixture(1, refuse, true);
      await fixture.supervisor.start([spec('a')]);
      expect(fixture.volume('a')).to.include({ state: 'waiting', failure: 'no login in time' });
      await fixture.supervisor.stop();
      expect(fixture.volume('a').state).to.equal('stopped');
      expect(fixture.serving).to.deep.equal([]);
    });

    it('and refuses one whose sessions reach different logical units', async () => {
      const fixture = new Fixture(2, (lane) => {
        lane.identity = `naa.${lane.index}`;
      });
      const failures = await fixture.supervisor.start([spec('a', 2)]);
      expect(failures.get('a')?.message).to.match(/different logical units: naa\.0 and naa\.1/);
      for (const lane of fixture.lanes) expect(lane.calls).to.include('closeSession');
    });

    it('and closes the sessions that were had when one is refused', async () => {
      const fixture = new Fixture(2, (lane) => {
        if (lane.index === 1) lane.onOpen = () => Promise.reject(new Error('refused'));
      });
      const failures = await fixture.supervisor.start([spec('a', 2)]);
      expect(failures.get('a')?.message).to.equal('refused');
      expect(fixture.lanes[0].calls).to.include('closeSession');
      expect(fixture.listeners).to.have.property('size', 0);
    });

    it('and attaches a device with a socket of every session, served before the kernel has it', async () => {
      const fixture = new Fixture(2);
      await fixture.supervisor.start([spec('a', 2, { device: 'auto', socket: undefined })]);
      expect(fixture.attachRequest).to.include({
        device: 'auto',
        lanes: 2,
        backendIdentifier: 'iserd:a:naa.1',
      });
      expect(
        fixture.lanes.map(({ served }) => served.map(({ fd, handshake }) => ({ fd, handshake }))),
      ).to.deep.equal([[{ fd: 100, handshake: false }], [{ fd: 101, handshake: false }]]);
      expect(fixture.volume('a').devicePath).to.equal('/dev/nbd0');
    });
  });

  describe('gives clients', () => {
    it('to the sessions of the volume in turn, and counts them until they are gone', async () => {
      const fixture = new Fixture(2);
      await fixture.supervisor.start([spec('a', 2)]);
      const connect = fixture.listeners.get('/run/a');
      for (const fd of [7, 8, 9]) connect?.(fd);
      expect(fixture.lanes.map(({ served }) => served.map(({ fd }) => fd))).to.deep.equal([
        [7, 9],
        [8],
      ]);
      const { client } = fixture.lanes[1].served[0];
      fixture.lanes[1].emit({
        event: 'clientEnded',
        session: 0,
        client,
        handshake: true,
        dropped: false,
        reason: 'disconnect',
      });
      expect(fixture.clientsClosed).to.deep.equal(['/run/a']);
      expect(fixture.clientsEnded).to.equal(1);
    });

    it('that came with the process to a session, too', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([spec('a')]);
      await fixture.volume('a').serveClient(5);
      expect(fixture.lanes[0].served[0]).to.include({ fd: 5, handshake: true, exportName: 'a' });
    });
  });

  describe('stops', () => {
    it('with the front first: listener, device, drain, logout, then lanes', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([spec('a', 1, { device: 'auto' })]);
      const [lane] = fixture.lanes;
      lane.calls.splice(0);
      await fixture.supervisor.stop();
      expect(fixture.record).to.deep.equal(['close /run/a', 'detach']);
      expect(lane.calls).to.deep.equal(['drainSession', 'closeSession']);
      expect(lane.closed).to.equal(true);
      expect(fixture.volume('a').state).to.equal('stopped');
    });

    it('while a login is still tried, without waiting for it', async () => {
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = () => new Promise(() => undefined);
      });
      const started = fixture.supervisor.start([spec('a')]);
      await turns();
      await fixture.supervisor.stop();
      expect((await started).has('a')).to.equal(true);
      expect(fixture.serving).to.deep.equal([]);
      expect(fixture.lanes[0].closed).to.equal(true);
    });

    it('while a device is being attached, and detaches it', async () => {
      const fixture = new Fixture(1);
      let attached: () => void = () => undefined;
      fixture.attachment = new Promise((resolve) => {
        attached = resolve;
      });
      const started = fixture.supervisor.start([spec('a', 1, { device: 'auto' })]);
      await turns();
      const stopped = fixture.supervisor.stop();
      attached();
      await stopped;
      await started;
      expect(fixture.record).to.deep.equal(['detach']);
      expect(fixture.listeners).to.have.property('size', 0);
    });

    it('although a step fails', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([spec('a')]);
      const [lane] = fixture.lanes;
      lane.call = () => Promise.reject(new Error('the lane is gone'));
      await fixture.supervisor.stop();
      expect(fixture.volume('a').state).to.equal('stopped');
    });
  });

  describe('stops a volume whose device', () => {
    async function serving(lanes = 1, more: Partial<VolumeSpec> = {}): Promise<Fixture> {
      const fixture = new Fixture(lanes);
      const device = { device: 'auto', socket: undefined, owner: 'us' };
      await fixture.supervisor.start([spec('a', lanes, { ...device, ...more })]);
      return fixture;
    }

    it('nobody uses, by detaching it', async () => {
      const fixture = await serving();
      await fixture.supervisor.stop();
      expect(fixture.record).to.deep.equal(['detach']);
    });

    it('is in use, by leaving it with its sockets drained', async () => {
      const fixture = await serving(2);
      fixture.users = ['mounted on /mnt'];
      await fixture.supervisor.stop();
      expect(fixture.record).to.deep.equal(['leave 100,101']);
      expect(fixture.lanes.map(({ calls }) => calls.slice(-2))).to.deep.equal([
        ['drainSession', 'closeSession'],
        ['drainSession', 'closeSession'],
      ]);
    });

    it('is in use, without those sockets that could not be drained', async () => {
      const fixture = await serving(2);
      fixture.users = ['mounted on /mnt'];
      fixture.lanes[0].drains = false;
      await fixture.supervisor.stop();
      expect(fixture.record).to.deep.equal(['leave ,101']);
    });

    it('is in use, by detaching it when told so', async () => {
      for (const [more, mode] of [
        [{ forceDetach: true }, StopMode.keepUsed],
        [{}, StopMode.force],
      ] as const) {
        const fixture = await serving(1, more);
        fixture.users = ['mounted on /mnt'];
        await fixture.supervisor.stop(mode);
        expect(fixture.record).to.deep.equal(['detach']);
      }
    });

    it('is handed over, in use or not, together with its locks', async () => {
      const fixture = await serving(1, { forceDetach: true });
      await fixture.supervisor.stop(StopMode.handOver);
      expect(fixture.record).to.deep.equal([
        'leave 100',
        'bequeath volume a (us h:3260)',
        'bequeath iserd:a:naa.1',
      ]);
    });
  });

  describe('locks a volume that others could serve', () => {
    const owned = (): VolumeSpec => spec('a', 1, { owner: 'us' });

    it('by its name before the login, and by its backend identifier, until it stops', async () => {
      let atLogin: string[] = [];
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = () => {
          atLogin = [...fixture.locked];
          return Promise.resolve();
        };
      });
      await fixture.supervisor.start([owned()]);
      expect(atLogin).to.deep.equal(['volume a (us h:3260)']);
      expect([...fixture.locked]).to.deep.equal(['volume a (us h:3260)', 'iserd:a:naa.1']);
      await fixture.supervisor.stop();
      expect([...fixture.locked]).to.deep.equal([]);
    });

    for (const subject of ['volume a (us h:3260)', 'iserd:a:naa.1']) {
      it(`and refuses one that another daemon has locked as ${subject}`, async () => {
        const fixture = new Fixture(1);
        fixture.lockedByOthers = [subject];
        const failures = await fixture.supervisor.start([owned()]);
        expect(failures.get('a')?.message).to.equal(`${subject} is served by process 42`);
        expect(fixture.locked).to.have.property('size', 0);
        expect(fixture.record).to.deep.equal([]);
      });
    }

    it('and looks after the devices that a volume has left when it cannot be started', async () => {
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = () => Promise.reject(new Error('refused'));
      });
      await fixture.supervisor.start([owned()]);
      expect(fixture.record).to.deep.equal(['give up us']);
    });
  });

  describe('changes volumes while others serve', () => {
    const device = (name: string, more: Partial<VolumeSpec> = {}): VolumeSpec =>
      spec(name, 1, { device: 'auto', socket: undefined, owner: 'us', ...more });
    const states = ({ supervisor }: Fixture): string[] =>
      supervisor.volumes.map((volume) => `${volume.spec.name} ${volume.state}`);
    const codes = (failures: ReadonlyMap<string, Error>): string[] =>
      [...failures].map(([name, error]) => `${name} ${(error as { code?: string }).code ?? ''}`);

    it('one comes, on a lane of its own, and one goes', async () => {
      const fixture = new Fixture(4);
      const { supervisor } = fixture;
      await supervisor.start([spec('a')]);
      const failures = await supervisor.apply(
        [
          { kind: 'add', spec: spec('b') },
          { kind: 'remove', name: 'a' },
        ],
        false,
      );
      expect(codes(failures)).to.deep.equal([]);
      expect(states(fixture)).to.deep.equal(['b serving']);
      expect(fixture.serving).to.deep.equal(['a', 'b']);
      expect([...fixture.listeners.keys()]).to.deep.equal(['/run/b']);
    });

    it('one comes to a daemon that had none, and finds a lane', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([]);
      expect(fixture.lanes).to.have.length(0);
      const changes = Array.from({ length: 20 }, (_, index) => spec(`v${index}`));
      await fixture.supervisor.apply(
        changes.map((each) => ({ kind: 'add', spec: each })),
        false,
      );
      expect(sessionsPerLane(fixture)).to.deep.equal([16, 4]);
    });

    it('the place of one that has gone is free', async () => {
      const fixture = new Fixture(1);
      const { supervisor } = fixture;
      await supervisor.start([]);
      for (let i = 0; i < 40; i++) {
        await supervisor.apply([{ kind: 'add', spec: spec('v') }], false);
        await supervisor.apply([{ kind: 'remove', name: 'v' }], false);
      }
      expect(fixture.lanes).to.have.length(1);
    });

    it('none goes whose device is in use, unless it is told so', async () => {
      const fixture = new Fixture(1);
      const { supervisor } = fixture;
      await supervisor.start([device('a')]);
      fixture.users = ['mounted on /mnt'];
      const failures = await supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      expect(codes(failures)).to.deep.equal(['a volume-in-use']);
      expect(failures.get('a')?.message).to.match(
        /^\/dev\/nbd0 is in use \(mounted on \/mnt\): .*--force/,
      );
      expect(states(fixture)).to.deep.equal(['a serving']);
      expect(fixture.record).to.deep.equal([]);
      await supervisor.apply([{ kind: 'remove', name: 'a' }], true);
      expect(fixture.record).to.deep.equal(['detach']);
      expect(states(fixture)).to.deep.equal([]);
    });

    it('one with force_detach goes all the same', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([device('a', { forceDetach: true })]);
      fixture.users = ['mounted on /mnt'];
      await fixture.supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      expect(fixture.record).to.deep.equal(['detach']);
    });

    it('none goes that could not be started and whose predecessor has left a device in use', async () => {
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = () => Promise.reject(new Error('refused'));
      });
      const { supervisor } = fixture;
      await supervisor.start([device('a')]);
      let users = ['swap space'];
      let detached = 0;
      fixture.left = [
        {
          path: '/dev/nbd4',
          users: () => Promise.resolve(users),
          detach: () => {
            detached++;
            return Promise.resolve();
          },
        },
      ];
      const refused = await supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      expect(refused.get('a')?.message).to.match(/^\/dev\/nbd4 is in use \(swap space\)/);
      users = [];
      await supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      expect(detached).to.equal(1);
    });

    it('a new login leaves the device in use where it is', async () => {
      const fixture = new Fixture(1);
      const { supervisor } = fixture;
      await supervisor.start([device('a')]);
      fixture.users = ['mounted on /mnt'];
      const changed = device('a', { deadConnTimeoutSeconds: 7 });
      const change = { kind: 'change', effect: 'login', spec: changed } as const;
      expect(codes(await supervisor.apply([change], false))).to.deep.equal([]);
      expect(fixture.record).to.deep.equal(['leave 100']);
      expect(fixture.attachRequest).to.include({ deadConnTimeoutSeconds: 7 });
      expect(states(fixture)).to.deep.equal(['a serving']);
      expect(supervisor.volume('a')?.spec).to.equal(changed);
    });

    it('one that does not serve with its change serves as before', async () => {
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = ({ targetName }) =>
          targetName === 'iqn.2026-11.test:no'
            ? Promise.reject(new Error('refused'))
            : Promise.resolve();
      });
      const { supervisor } = fixture;
      const before = spec('a');
      await supervisor.start([before]);
      const after = spec('a');
      Object.assign(after.sessions[0], { targetName: 'iqn.2026-11.test:no' });
      const failures = await supervisor.apply(
        [{ kind: 'change', effect: 'login', spec: after }],
        false,
      );
      expect(failures.get('a')?.message).to.equal('refused; it serves on as before');
      expect(states(fixture)).to.deep.equal(['a serving']);
      expect(supervisor.volume('a')?.spec).to.equal(before);
    });

    it('one that serves neither with its change nor as before keeps the change', async () => {
      let reachable = true;
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = () => (reachable ? Promise.resolve() : Promise.reject(new Error('no way')));
      });
      const { supervisor } = fixture;
      await supervisor.start([spec('a')]);
      reachable = false;
      const after = spec('a');
      const change = { kind: 'change', effect: 'login', spec: after } as const;
      expect((await supervisor.apply([change], false)).get('a')?.message).to.equal('no way');
      expect(supervisor.volume('a')?.spec).to.equal(after);
      expect(states(fixture)).to.deep.equal(['a failed']);
    });

    it('doors are exchanged without a new login', async () => {
      const fixture = new Fixture(1);
      const { supervisor } = fixture;
      await supervisor.start([spec('a'), spec('b')]);
      const opened = fixture.lanes[0].opened.length;
      const live = (name: string, place: string) =>
        ({ kind: 'change', effect: 'live', spec: spec(name, 1, { places: [place] }) }) as const;
      await supervisor.apply([live('a', '/run/b'), live('b', '/run/a')], false);
      expect(fixture.record).to.deep.equal(['close /run/a', 'close /run/b']);
      expect([...fixture.listeners.keys()]).to.deep.equal(['/run/b', '/run/a']);
      expect(fixture.lanes[0].opened).to.have.length(opened);
    });

    it('a start that lasts can be ended', async () => {
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = () => new Promise(() => undefined);
      });
      const { supervisor } = fixture;
      const started = supervisor.start([spec('a')]);
      await turns();
      expect(codes(await supervisor.apply([{ kind: 'remove', name: 'a' }], false))).to.deep.equal(
        [],
      );
      expect([...(await started).keys()]).to.deep.equal(['a']);
      expect(states(fixture)).to.deep.equal([]);
    });

    it('one change of a volume at a time, and only of one that is there', async () => {
      const fixture = new Fixture(1);
      const { supervisor } = fixture;
      await supervisor.start([spec('a')]);
      const first = supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      const second = await supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      expect(codes(second)).to.deep.equal(['a volume-busy']);
      expect(codes(await first)).to.deep.equal([]);
      const third = await supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      expect(codes(third)).to.deep.equal(['a unknown-volume']);
      await supervisor.apply([{ kind: 'add', spec: spec('b') }], false);
      const again = await supervisor.apply([{ kind: 'add', spec: spec('b') }], false);
      expect(codes(again)).to.deep.equal(['b volume-exists']);
    });

    it('nothing is begun any more when the daemon stops, and what has begun is waited for', async () => {
      const fixture = new Fixture(1);
      const { supervisor } = fixture;
      await supervisor.start([device('a')]);
      const spec2 = device('a', { deadConnTimeoutSeconds: 7 });
      const change = supervisor.apply([{ kind: 'change', effect: 'login', spec: spec2 }], false);
      await supervisor.stop();
      expect((await change).size).to.equal(1);
      expect(fixture.lanes[0].closed).to.equal(true);
      expect(states(fixture)).to.deep.equal(['a stopped']);
      const late = await supervisor.apply([{ kind: 'add', spec: spec('b') }], false);
      expect(codes(late)).to.deep.equal(['b stopping']);
    });

    it('and tells what becomes of each', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([device('a')]);
      await fixture.supervisor.apply([{ kind: 'remove', name: 'a' }], false);
      expect(
        fixture.events.map((event) =>
          event.event === 'volume' ? event.state : event.event === 'device' ? event.change : '',
        ),
      ).to.deep.equal(['starting', 'attached', 'serving', 'stopping', 'detached', 'stopped']);
    });
  });

  describe('watches lanes', () => {
    it('and tells of one that crashes, unless it is stopping', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([spec('a')]);
      const crash = new Error('out of memory');
      fixture.lanes[0].crash(crash);
      expect(fixture.failures).to.deep.equal([crash]);
      await fixture.supervisor.stop();
      fixture.lanes[0].crash(crash);
      expect(fixture.failures).to.have.length(1);
    });

    it('and is alive only while every one of them answers', async () => {
      const fixture = new Fixture(2);
      await fixture.supervisor.start([spec('a'), spec('b')]);
      expect(fixture.supervisor.alive()).to.equal(true);
      await turns();
      expect(fixture.supervisor.alive()).to.equal(true);
      fixture.lanes[1].call = () => new Promise(() => undefined);
      await turns();
      fixture.supervisor.alive();
      await turns();
      expect(fixture.supervisor.alive()).to.equal(false);
    });
  });

  describe('reports', () => {
    it('only once what several lanes say once', async () => {
      const fixture = new Fixture(2);
      await fixture.supervisor.start([spec('a'), spec('b')]);
      const messages: string[] = [];
      Object.assign(fixture.logger, {
        log: (_level: string, message: string) => messages.push(message),
      });
      const fields = {};
      for (const lane of fixture.lanes) {
        lane.emit({ event: 'log', level: 'warn', message: 'scarce', fields, once: true });
        lane.emit({ event: 'log', level: 'warn', message: 'again', fields });
      }
      expect(messages).to.deep.equal(['scarce', 'again', 'again']);
    });

    it('what every volume is and does', async () => {
      const fixture = new Fixture(1, (lane) => {
        lane.onOpen = ({ volume }) =>
          volume === 'b' ? Promise.reject(new Error('refused')) : Promise.resolve();
      });
      await fixture.supervisor.start([spec('a'), spec('b')]);
      const { volumes, lanes } = await statusOf(fixture);
      expect(volumes[0]).to.include({
        name: 'a',
        state: 'serving',
        socket: '/run/a',
        sizeBytes: 2 ** 20,
        failure: null,
      });
      expect(volumes[0].sessions).to.have.length(1);
      expect(volumes[1]).to.include({
        name: 'b',
        state: 'failed',
        sizeBytes: 0,
        failure: 'refused',
      });
      expect(lanes).to.have.length(1);
    });

    it('a volume whose session has ended by itself as failed', async () => {
      const fixture = new Fixture(1);
      await fixture.supervisor.start([spec('a'), spec('b')]);
      const message = 'another logical unit answers now';
      fixture.lanes[0].emit({ event: 'sessionFailed', volume: 'a', session: 0, message });
      const { volumes } = await statusOf(fixture);
      expect(volumes[0]).to.include({ state: 'failed', failure: message });
      expect(volumes[1]).to.include({ state: 'serving', failure: null });
    });
  });
});

function statusOf({ supervisor }: Fixture): Promise<Status> {
  return daemonStatus(supervisor, new StatisticsSampler(() => supervisor.lanes, systemTimers), {});
}

/** Lets what is already resolved run on. */
function turns(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
