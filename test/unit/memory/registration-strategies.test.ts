import { expect } from 'chai';
import { CodedError, ConfigurationError } from '../../../src/errors.ts';
import {
  createStrategy,
  notRegistered,
  registrarOf,
  RegistrationAccess,
  RegistrationCache,
  strategyNames,
} from '../../../src/memory/index.ts';
import type { StrategyName, StrategyOptions } from '../../../src/memory/index.ts';
import { fakeNativeError, FakeReactor } from '../../../src/reactor/fake-reactor.ts';
import { RegistrarDouble } from './registrar-double.ts';

const { localWrite, remoteRead, remoteWrite } = RegistrationAccess;
const sizeBytes = 64 * 1024;
const copyRange = { offset: 32 * 1024, length: 4096 };

function create(name: StrategyName, more: Partial<StrategyOptions> = {}) {
  const registrar = new RegistrarDouble();
  const bytes = new Uint8Array(sizeBytes);
  const strategy = createStrategy(name, {
    registrar,
    arena: { offset: 0, sizeBytes, bytes },
    copyRange,
    nowMicroseconds: registrar.now,
    ...more,
  });
  return { registrar, bytes, strategy };
}

describe('registration strategies: what all of them promise', () => {
  for (const name of strategyNames) {
    it(`${name}: keys of a live region that covers the range`, () => {
      const { registrar, strategy } = create(name);
      expect(strategy.name).to.equal(name);
      const registration = strategy.acquire(1000, 200, remoteRead | remoteWrite);
      const at = strategy.deviceOffset(registration, 1010);
      const region = [...registrar.live.values()].find(
        ({ rkey }) => rkey === strategy.rkey(registration),
      );
      if (region === undefined) throw new Error('no such region');
      expect(region.lkey).to.equal(strategy.lkey(registration));
      expect(region.offset).to.be.at.most(at - 10);
      expect(region.offset + region.length).to.be.at.least(at + 190);
      const needed = localWrite | remoteRead | remoteWrite;
      expect(region.access & needed).to.equal(needed);
      strategy.release(registration, 0);
      strategy.close();
      expect(registrar.live.size).to.equal(0);
    });

    it(`${name}: refuses to release twice`, () => {
      const { strategy } = create(name);
      const registration = strategy.acquire(0, 200, remoteRead);
      strategy.release(registration, 0);
      expect(() => {
        strategy.release(registration, 0);
      }).to.throw('released already');
    });

    it(`${name}: closes with registrations still in use`, () => {
      const { registrar, strategy } = create(name);
      strategy.acquire(0, 200, remoteRead);
      strategy.acquire(512, 200, localWrite);
      strategy.close();
      expect(registrar.live.size).to.equal(0);
      expect(strategy.statistics).to.include({ entries: 0, pinnedBytes: 0 });
    });

    it(`${name}: refuses ranges outside the arena`, () => {
      const { strategy } = create(name);
      expect(() => strategy.acquire(sizeBytes - 10, 20, remoteRead)).to.throw('range in arena');
      expect(() => strategy.acquire(0, 0, remoteRead)).to.throw('assertion failed');
    });

    it(`${name}: survives the invalidation of memory in use`, () => {
      const { registrar, strategy } = create(name);
      const first = strategy.acquire(0, 200, remoteRead);
      const rkey = strategy.rkey(first);
      strategy.invalidate(0, 200);
      expect(strategy.rkey(first)).to.equal(rkey);
      expect([...registrar.live.values()].some((region) => region.rkey === rkey)).to.equal(true);
      const second = strategy.acquire(0, 200, remoteRead);
      strategy.release(first, 0);
      strategy.release(second, 0);
      strategy.close();
      expect(registrar.live.size).to.equal(0);
    });
  }
});

describe('registration strategies: cache', () => {
  it('rounds out to 256 KiB unless told otherwise', () => {
    const { registrar, strategy } = create('cache');
    expect(strategy).to.be.instanceOf(RegistrationCache);
    strategy.acquire(1000, 200, remoteRead);
    expect(registrar.ranges()).to.deep.equal([`0+${sizeBytes}`]);
    const exact = create('cache', { granuleBytes: 0 });
    exact.strategy.acquire(1000, 200, remoteRead);
    expect(exact.registrar.ranges()).to.deep.equal(['1000+200']);
  });
});

describe('registration strategies: static', () => {
  it('registers the whole arena at once and never again', () => {
    const { registrar, strategy } = create('static');
    for (const access of [0, localWrite, remoteRead, remoteWrite]) {
      strategy.release(strategy.acquire(100, 60_000, access), 0);
    }
    expect(registrar.log).to.deep.equal([`register 0+${sizeBytes} access 7`]);
    expect(strategy.maximumLength).to.equal(sizeBytes);
  });

  it('says how to go on when the kernel refuses', () => {
    const registrar = new RegistrarDouble();
    registrar.failures = 1;
    const options = {
      registrar,
      arena: { offset: 0, sizeBytes, bytes: new Uint8Array(sizeBytes) },
      nowMicroseconds: registrar.now,
    };
    expect(() => createStrategy('static', options))
      .to.throw(CodedError, 'RLIMIT_MEMLOCK')
      .with.property('code', 'registrationFailed');
  });

  it('registers anew after an invalidation', () => {
    const { registrar, strategy } = create('static');
    strategy.invalidate(0, 1);
    expect(registrar.live.size).to.equal(0);
    strategy.acquire(5, 5, remoteRead);
    expect(registrar.ranges()).to.deep.equal([`0+${sizeBytes}`]);
  });
});

describe('registration strategies: odp', () => {
  it('registers the whole arena once with on-demand access', () => {
    const { registrar, strategy } = create('odp');
    for (const access of [0, localWrite, remoteRead, remoteWrite]) {
      strategy.release(strategy.acquire(100, 60_000, access), 0);
    }
    expect(registrar.log).to.deep.equal([`register 0+${sizeBytes} access 15`]);
    expect(strategy.maximumLength).to.equal(sizeBytes);
    expect(strategy.statistics).to.include({ misses: 1, hits: 4, registrationMicroseconds: 5 });
  });

  it('registers no more than its part of the arena', () => {
    const arena = { offset: 4096, sizeBytes: 8192, bytes: new Uint8Array(sizeBytes) };
    const { registrar, strategy } = create('odp', { arena });
    expect(registrar.ranges()).to.deep.equal(['4096+8192']);
    expect(() => strategy.acquire(4095, 1, remoteRead)).to.throw('range in arena');
    expect(() => strategy.acquire(12_287, 2, remoteRead)).to.throw('range in arena');
    strategy.acquire(12_287, 1, remoteRead);
  });

  it('pins nothing, in use or not', () => {
    const { strategy } = create('odp');
    strategy.acquire(0, sizeBytes, remoteRead);
    expect(strategy.statistics).to.include({ entries: 1, pinnedBytes: 0 });
    strategy.close();
    expect(strategy.statistics).to.include({ entries: 0, pinnedBytes: 0 });
  });

  it('stays registered when pages of the arena go', () => {
    const { registrar, strategy } = create('odp');
    strategy.invalidate(0, sizeBytes);
    expect(registrar.log).to.deep.equal([`register 0+${sizeBytes} access 15`]);
  });

  it('counts its users', () => {
    const { strategy } = create('odp');
    const first = strategy.acquire(0, 200, remoteRead);
    const second = strategy.acquire(0, 200, remoteRead);
    strategy.release(first, 0);
    expect(strategy.rkey(second)).to.be.a('number');
    strategy.release(second, 0);
    expect(() => strategy.rkey(second)).to.throw('released already');
  });

  it('says what the device lacks', () => {
    const registrar = new RegistrarDouble();
    registrar.failures = 1;
    registrar.failure = fakeNativeError('EOPNOTSUPP', 95, 'rxe0 lacks on-demand paging');
    expect(() => create('odp', { registrar }))
      .to.throw(ConfigurationError, 'rxe0 lacks on-demand paging')
      .with.property('code', 'odpUnsupported');
  });

  it('says that the kernel refuses, and hands on what else goes wrong', () => {
    const registrar = new RegistrarDouble();
    registrar.failures = 2;
    expect(() => create('odp', { registrar }))
      .to.throw(CodedError, 'on-demand paging')
      .with.property('code', 'registrationFailed');
    registrar.failure = fakeNativeError('ENODEV', 19, 'ibv_reg_mr');
    expect(() => create('odp', { registrar })).to.throw('ibv_reg_mr: ENODEV');
  });

  it('refuses work after close', () => {
    const { strategy } = create('odp');
    strategy.close();
    strategy.close();
    expect(() => strategy.acquire(0, 1, remoteRead)).to.throw('closed');
  });
});

describe('registration strategies: per-io', () => {
  it('registers exactly the range around each use', () => {
    const { registrar, strategy } = create('per-io');
    for (let i = 0; i < 2; i++) strategy.release(strategy.acquire(100, 50, remoteRead), 0);
    expect(registrar.log).to.deep.equal([
      'register 100+50 access 2',
      'deregister 100+50',
      'register 100+50 access 2',
      'deregister 100+50',
    ]);
    expect(strategy.statistics).to.include({ misses: 2, hits: 0, registrationMicroseconds: 10 });
  });

  it('makes the caller wait at its limits and when the kernel refuses', () => {
    const { registrar, strategy } = create('per-io', { limits: { maxBytes: 150, maxEntries: 2 } });
    expect(strategy.maximumLength).to.equal(150);
    const first = strategy.acquire(0, 100, remoteRead);
    expect(strategy.acquire(200, 100, remoteRead)).to.equal(notRegistered);
    const second = strategy.acquire(200, 10, remoteRead);
    expect(strategy.acquire(300, 10, remoteRead)).to.equal(notRegistered);
    strategy.release(second, 0);
    registrar.failures = 1;
    expect(strategy.acquire(300, 10, remoteRead)).to.equal(notRegistered);
    strategy.release(first, 0);
    expect(strategy.statistics).to.include({ failures: 3, entries: 0 });
  });
});

describe('registration strategies: copy', () => {
  it('registers nothing but the pool', () => {
    const { registrar, strategy } = create('copy');
    strategy.acquire(0, 512, remoteRead);
    strategy.acquire(512, 512, remoteWrite);
    expect(registrar.ranges()).to.deep.equal(['32768+4096']);
  });

  it('copies what the peer will read into the pool', () => {
    const { bytes, strategy } = create('copy');
    bytes.set([1, 2, 3], 101);
    const registration = strategy.acquire(101, 3, remoteRead);
    const at = strategy.deviceOffset(registration, 101);
    expect(at).to.be.at.least(copyRange.offset);
    expect([...bytes.subarray(at, at + 3)]).to.deep.equal([1, 2, 3]);
    expect(strategy.deviceOffset(registration, 102)).to.equal(at + 1);
  });

  it('copies what the peer has written out, and no more', () => {
    const { bytes, strategy } = create('copy');
    bytes.fill(9, 100, 104);
    const registration = strategy.acquire(100, 4, remoteWrite);
    const at = strategy.deviceOffset(registration, 100);
    bytes.set([1, 2, 3, 4], at);
    strategy.release(registration, 3);
    expect([...bytes.subarray(100, 104)]).to.deep.equal([1, 2, 3, 9]);
  });

  it('refuses more written bytes than the range has', () => {
    const { strategy } = create('copy');
    const registration = strategy.acquire(100, 4, remoteWrite);
    expect(() => {
      strategy.release(registration, 5);
    }).to.throw('written within the range');
  });

  it('copies local sends too', () => {
    const { bytes, strategy } = create('copy');
    bytes[100] = 7;
    const at = strategy.deviceOffset(strategy.acquire(100, 1, 0), 100);
    expect(bytes[at]).to.equal(7);
    expect(at).to.not.equal(100);
  });

  it('registers rings where they lie, for as long as they are used', () => {
    const { registrar, strategy } = create('copy');
    const ring = strategy.acquire(1024, 2048, localWrite);
    expect(strategy.deviceOffset(ring, 1100)).to.equal(1100);
    expect(registrar.ranges()).to.deep.equal(['32768+4096', '1024+2048']);
    strategy.release(ring, 0);
    expect(registrar.ranges()).to.deep.equal(['32768+4096']);
    registrar.failures = 1;
    expect(strategy.acquire(1024, 2048, localWrite)).to.equal(notRegistered);
  });

  it('makes the caller wait while the pool is full', () => {
    const { strategy } = create('copy');
    const first = strategy.acquire(0, 4096, remoteRead);
    expect(strategy.acquire(4096, 1, remoteRead)).to.equal(notRegistered);
    strategy.release(first, 0);
    expect(strategy.acquire(4096, 1, remoteRead)).to.not.equal(notRegistered);
    expect(strategy.statistics).to.include({ failures: 1, hits: 2 });
  });

  it('takes a pool of any length', () => {
    const { strategy } = create('copy', { copyRange: { offset: 32 * 1024, length: 5000 } });
    expect(strategy.maximumLength).to.equal(4096);
  });

  it('refuses what never fits', () => {
    const { strategy } = create('copy');
    expect(strategy.maximumLength).to.equal(4096);
    expect(() => strategy.acquire(0, 4097, remoteRead)).to.throw('maximumLength');
  });

  it('cannot start without its pool', () => {
    const registrar = new RegistrarDouble();
    registrar.failures = 1;
    const arena = { offset: 0, sizeBytes, bytes: new Uint8Array(sizeBytes) };
    const options = { registrar, arena, nowMicroseconds: registrar.now };
    expect(() => createStrategy('copy', { ...options, copyRange })).to.throw(
      CodedError,
      'cannot register the copy pool',
    );
    expect(() => createStrategy('copy', options)).to.throw('needs copyRange');
  });

  it('refuses work after close', () => {
    const { strategy } = create('copy');
    strategy.close();
    strategy.close();
    expect(() => strategy.acquire(0, 1, remoteRead)).to.throw('closed');
  });
});

describe('registrarOf', () => {
  it('registers with one protection domain of a reactor', () => {
    const fake = new FakeReactor();
    const registrar = registrarOf(fake, 3);
    const region = registrar.register(0, 4096, remoteRead);
    expect(fake.memory.regions.get(region.id)?.protectionDomain).to.equal(3);
    registrar.deregister(region.id);
    expect(fake.leaks()).to.deep.equal([]);
  });
});
