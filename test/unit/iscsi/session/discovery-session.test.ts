import { expect } from 'chai';
import { discoverTargets } from '../../../../src/iscsi/discovery-session.ts';
import type { DiscoveredTarget } from '../../../../src/iscsi/discovery.ts';
import { SlabPool } from '../../../../src/memory/slab-pool.ts';
import { FakeTimers } from '../../../helpers/fake-timers.ts';
import {
  FakeTransport,
  iserCapabilities,
  tcpCapabilities,
} from '../../../helpers/fake-transport.ts';
import { ScriptedTarget } from '../../../helpers/scripted-target.ts';
import { loginTemplate, makeArena, settle } from '../../../helpers/session-fixture.ts';

class DiscoveryFixture {
  readonly arena = makeArena(1024 * 1024);
  readonly pool = new SlabPool({ sizeBytes: 256 * 1024, segmentBytes: 64 * 1024 });
  readonly timers = new FakeTimers();
  readonly transports: FakeTransport[] = [];
  targets: DiscoveredTarget[] | undefined;
  error: (Error & { code?: string }) | undefined;

  constructor(capabilities = tcpCapabilities) {
    discoverTargets({
      createTransport: (events) => {
        const transport = new FakeTransport(events, {
          arena: this.arena,
          timers: this.timers,
          base: 256 * 1024 + this.transports.length * 32768,
          pduCapacity: 16,
          capabilities,
        });
        this.transports.push(transport);
        return transport;
      },
      arena: this.arena,
      pool: this.pool,
      timers: this.timers,
      resolve: (host) => Promise.resolve([host]),
      portal: { host: 'portal.example', port: 3260 },
      login: { ...loginTemplate, headerDigest: 'crc32c' },
      isid: Uint8Array.of(0x80, 0, 0, 0, 0, 9),
    }).then(
      (targets) => {
        this.targets = targets;
      },
      (error: unknown) => {
        this.error = error as Error;
      },
    );
  }

  async target(): Promise<ScriptedTarget> {
    await settle();
    const transport = this.transports.at(-1);
    if (transport === undefined) throw new Error('no connection was attempted');
    return new ScriptedTarget(transport);
  }

  /** The fixed wait for the transport's end, and what follows from it. */
  async finish(): Promise<void> {
    this.timers.advance(0);
    await settle();
  }
}

const keys = [
  'HeaderDigest=None',
  'DataDigest=None',
  'MaxRecvDataSegmentLength=8192',
  'DefaultTime2Wait=2',
  'DefaultTime2Retain=0',
  'ErrorRecoveryLevel=0',
];

describe('discovery session', () => {
  for (const capabilities of [tcpCapabilities, iserCapabilities]) {
    it(`asks for all targets, logs out and gives the list over ${capabilities.name}`, async () => {
      const fixture = new DiscoveryFixture(capabilities);
      const target = await fixture.target();
      const login = target.login({ keys });
      expect(new TextDecoder().decode(login.data)).to.contain('SessionType=Discovery');
      expect(new TextDecoder().decode(login.data)).to.contain('MaxRecvDataSegmentLength=');
      const request = target.takeOne();
      expect(request.opcode).to.equal(0x04);
      expect(new TextDecoder().decode(request.data)).to.equal('SendTargets=All\0');
      target.textResponse(
        request,
        'TargetName=iqn.2024-01.example:a\0TargetAddress=10.0.0.1:3260,1\0',
      );
      const logout = target.takeOne();
      expect(logout.opcode).to.equal(0x06);
      target.logoutResponse(logout);
      await fixture.finish();
      expect(fixture.targets).to.deep.equal([
        {
          targetName: 'iqn.2024-01.example:a',
          portals: [{ address: '10.0.0.1', port: 3260, tag: 1 }],
        },
      ]);
      expect(fixture.pool.statistics.usedBytes).to.equal(0);
      expect(fixture.timers.armed).to.equal(0);
    });
  }

  it('disconnects by itself from a target that stays after the logout', async () => {
    const fixture = new DiscoveryFixture();
    const target = await fixture.target();
    target.login({ keys });
    target.textResponse(target.takeOne(), '');
    fixture.timers.advance(5000);
    await settle();
    expect(fixture.targets).to.deep.equal([]);
  });

  it('asks for the rest of a list that is continued, with the same tag and that of the target', async () => {
    const fixture = new DiscoveryFixture();
    const target = await fixture.target();
    target.login({ keys });
    const first = target.takeOne();
    target.textResponse(first, 'TargetName=iqn.2024-01.exa', 0x40, 0x77);
    const second = target.takeOne();
    expect(second.itt).to.equal(first.itt);
    expect(second.word20).to.equal(0x77);
    expect(second.data).to.have.length(0);
    target.textResponse(second, 'mple:b\0');
    target.logoutResponse(target.takeOne());
    await fixture.finish();
    expect(fixture.targets?.[0].targetName).to.equal('iqn.2024-01.example:b');
  });

  it('does not follow an endless series of empty continuations', async () => {
    const fixture = new DiscoveryFixture();
    const target = await fixture.target();
    target.login({ keys });
    for (let requests = target.take(); requests.length > 0; requests = target.take()) {
      target.textResponse(requests[0], '', 0x40, 1);
    }
    await fixture.finish();
    expect(fixture.error?.code).to.equal('DISCOVERY_PROTOCOL');
  });

  it('refuses a continuation without a tag to ask with', async () => {
    const fixture = new DiscoveryFixture();
    const target = await fixture.target();
    target.login({ keys });
    target.textResponse(target.takeOne(), 'Tar', 0x40);
    await fixture.finish();
    expect(fixture.error?.message).to.contain('TTT');
  });

  it('says why the target refused the login', async () => {
    const fixture = new DiscoveryFixture();
    (await fixture.target()).login({ statusClass: 2, statusDetail: 2 });
    await fixture.finish();
    expect(fixture.error?.code).to.equal('LOGIN_AUTHORIZATION_FAILED');
  });

  it('says how the connection was lost', async () => {
    const fixture = new DiscoveryFixture();
    (await fixture.target()).transport.close('connect-refused', 'nobody listens');
    await settle();
    expect(fixture.error?.code).to.equal('DISCOVERY_LOST');
    expect(fixture.error?.message).to.contain('connect-refused');
  });

  it('logs in again when the connection is lost right after login, three times at most', async () => {
    const fixture = new DiscoveryFixture();
    for (let loss = 0; loss < 4; loss++) {
      const target = await fixture.target();
      target.login({ keys });
      target.transport.close('peer-closed');
    }
    await settle();
    expect(fixture.transports).to.have.length(4);
    expect(fixture.error?.code).to.equal('DISCOVERY_LOST');
  });

  it('follows redirects, but not in a circle', async () => {
    const fixture = new DiscoveryFixture();
    for (let hop = 0; hop < 5; hop++) {
      const target = await fixture.target();
      target.login({ statusClass: 1, statusDetail: 1, text: 'TargetAddress=10.0.0.9:7\0' });
      await fixture.finish();
    }
    expect(fixture.transports[1].portal).to.deep.equal({ address: '10.0.0.9', port: 7 });
    expect(fixture.error?.code).to.equal('DISCOVERY_REDIRECTS');
  });

  it('ends when the list does not come in time', async () => {
    const fixture = new DiscoveryFixture();
    (await fixture.target()).login({ keys });
    fixture.timers.advance(60_000);
    await settle();
    expect(fixture.error?.code).to.equal('DISCOVERY_TIMEOUT');
  });

  it('ends when the target rejects the request', async () => {
    const fixture = new DiscoveryFixture();
    const target = await fixture.target();
    target.login({ keys });
    target.asyncMessage(255);
    target.reject(target.takeOne().bhs, 0x04);
    await fixture.finish();
    expect(fixture.error?.code).to.equal('DISCOVERY_PROTOCOL');
  });
});
