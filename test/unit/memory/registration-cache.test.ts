import { expect } from 'chai';
import { notRegistered, RegistrationAccess } from '../../../src/memory/registration.ts';
import { RegistrationCache } from '../../../src/memory/registration-cache.ts';
import { RegistrarDouble } from './registrar-double.ts';

const { localWrite, remoteRead, remoteWrite } = RegistrationAccess;

interface CacheShape {
  maxBytes?: number;
  maxEntries?: number;
  granuleBytes?: number;
  grantAccess?: number;
  arenaOffset?: number;
}

function newCache(shape: CacheShape = {}) {
  const registrar = new RegistrarDouble();
  const cache = new RegistrationCache({
    registrar,
    arena: { offset: shape.arenaOffset ?? 0, sizeBytes: 10_000 },
    limits: { maxBytes: shape.maxBytes ?? 10_000, maxEntries: shape.maxEntries ?? 8 },
    capacity: 8,
    granuleBytes: shape.granuleBytes ?? 0,
    grantAccess: shape.grantAccess ?? 0,
    nowMicroseconds: registrar.now,
  });
  const use = (offset: number, length: number, access: number = remoteRead) => {
    const registration = cache.acquire(offset, length, access);
    expect(registration).to.not.equal(notRegistered);
    cache.release(registration);
  };
  return { registrar, cache, use };
}

describe('registration cache: hits', () => {
  it('registers on first use and keeps the region', () => {
    const { registrar, cache, use } = newCache();
    use(100, 50);
    use(100, 50);
    expect(registrar.log).to.deep.equal(['register 100+50 access 2']);
    expect(cache.statistics).to.include({ hits: 1, misses: 1, entries: 1, pinnedBytes: 50 });
  });

  it('hits any part of a registered range', () => {
    const { cache, use } = newCache();
    use(100, 50);
    for (const [offset, length] of [
      [100, 1],
      [149, 1],
      [110, 40],
    ]) {
      use(offset, length);
    }
    expect(cache.statistics.hits).to.equal(3);
  });

  it('misses what reaches one byte beyond', () => {
    const { cache, use } = newCache();
    use(100, 50);
    use(99, 2);
    use(149, 2);
    expect(cache.statistics).to.include({ hits: 0, misses: 3 });
  });

  it('never stitches neighbours together', () => {
    const { cache, use } = newCache();
    use(0, 100);
    use(100, 100);
    use(50, 100);
    expect(cache.statistics).to.include({ hits: 0, misses: 3, entries: 3 });
  });

  it('hits only with all the rights asked for', () => {
    const { registrar, use } = newCache();
    use(0, 100, remoteRead);
    use(0, 100, remoteWrite);
    use(0, 100, localWrite);
    use(0, 100, 0);
    expect(registrar.log).to.deep.equal(['register 0+100 access 2', 'register 0+100 access 5']);
  });

  it('adds localWrite to remoteWrite, as the device demands', () => {
    const { registrar, use } = newCache();
    use(0, 100, remoteWrite);
    expect(registrar.log).to.deep.equal(['register 0+100 access 5']);
  });

  it('grants more rights when told to, so that reads and writes share regions', () => {
    const { cache, use } = newCache({ grantAccess: remoteRead | remoteWrite });
    use(0, 100, remoteRead);
    use(0, 100, remoteWrite);
    expect(cache.statistics).to.include({ hits: 1, entries: 1 });
  });

  it('gives the keys of the region and the offset unchanged', () => {
    const { cache } = newCache();
    const registration = cache.acquire(10, 10, remoteRead);
    expect(cache.lkey(registration)).to.equal(10_001);
    expect(cache.rkey(registration)).to.equal(20_001);
    expect(cache.deviceOffset(registration, 15)).to.equal(15);
  });

  it('shares a region among users and counts them', () => {
    const { registrar, cache } = newCache({ maxEntries: 1 });
    const first = cache.acquire(0, 100, remoteRead);
    const second = cache.acquire(50, 10, remoteRead);
    cache.release(first);
    expect(cache.acquire(500, 10, remoteRead)).to.equal(notRegistered);
    cache.release(second);
    expect(cache.acquire(500, 10, remoteRead)).to.not.equal(notRegistered);
    expect(registrar.ranges()).to.deep.equal(['500+10']);
  });

  it('measures the time of registrations only', () => {
    const { cache, use } = newCache();
    use(0, 100);
    use(0, 100);
    expect(cache.statistics.registrationMicroseconds).to.equal(5);
  });
});

describe('registration cache: rounding', () => {
  it('rounds misses out to granules of the arena', () => {
    const { registrar, use } = newCache({ granuleBytes: 256, arenaOffset: 1000 });
    use(1300, 10);
    use(2000, 40);
    expect(registrar.ranges()).to.deep.equal(['1256+256', '1768+512']);
  });

  it('does not round beyond the end of the arena', () => {
    const { registrar, use } = newCache({ granuleBytes: 4096 });
    use(9000, 10);
    expect(registrar.ranges()).to.deep.equal(['8192+1808']);
  });

  it('registers the exact range when a granule is over the limit', () => {
    const { registrar, use } = newCache({ granuleBytes: 256, maxBytes: 200 });
    use(10, 100);
    expect(registrar.log).to.deep.equal(['register 10+100 access 2']);
  });

  it('registers the exact range when the kernel refuses the granule', () => {
    const { registrar, cache, use } = newCache({ granuleBytes: 256 });
    registrar.failures = 1;
    use(10, 100);
    expect(registrar.log).to.deep.equal(['refused 0+256', 'register 10+100 access 2']);
    expect(cache.statistics.failures).to.equal(0);
  });

  it('asks the kernel only once when the range is whole granules already', () => {
    const { registrar, cache } = newCache({ granuleBytes: 256 });
    registrar.failures = 1;
    expect(cache.acquire(256, 256, remoteRead)).to.equal(notRegistered);
    expect(registrar.log).to.deep.equal(['refused 256+256']);
  });
});

describe('registration cache: limits', () => {
  it('evicts the region idle for longest', () => {
    const { registrar, cache, use } = newCache({ maxEntries: 3 });
    use(0, 10);
    use(100, 10);
    use(200, 10);
    use(0, 10);
    use(300, 10);
    expect(registrar.ranges()).to.deep.equal(['0+10', '200+10', '300+10']);
    expect(cache.statistics.evictions).to.equal(1);
  });

  it('stays below the limit in bytes', () => {
    const { registrar, use } = newCache({ maxBytes: 100 });
    use(0, 60);
    use(100, 30);
    use(200, 50);
    expect(registrar.ranges()).to.deep.equal(['100+30', '200+50']);
  });

  it('evicts nothing when it would not be enough', () => {
    const { registrar, cache, use } = newCache({ maxBytes: 100 });
    const held = cache.acquire(0, 60, remoteRead);
    use(100, 30);
    expect(cache.acquire(200, 50, remoteRead)).to.equal(notRegistered);
    expect(registrar.ranges()).to.deep.equal(['0+60', '100+30']);
    expect(cache.statistics.failures).to.equal(1);
    cache.release(held);
    expect(cache.acquire(200, 50, remoteRead)).to.not.equal(notRegistered);
  });

  it('drops what the new region makes superfluous before it evicts others', () => {
    const { registrar, cache, use } = newCache({ maxBytes: 200 });
    use(500, 50);
    use(10, 50);
    use(0, 150);
    expect(registrar.ranges()).to.deep.equal(['500+50', '0+150']);
    expect(cache.statistics.evictions).to.equal(0);
  });

  it('keeps a superseded region while it is in use, and never hits it again', () => {
    const { registrar, cache, use } = newCache();
    const held = cache.acquire(10, 50, remoteRead);
    use(0, 200);
    const again = cache.acquire(10, 50, remoteRead);
    expect(cache.rkey(again)).to.equal(20_002);
    expect(cache.rkey(held)).to.equal(20_001);
    cache.release(held);
    expect(registrar.ranges()).to.deep.equal(['0+200']);
  });

  it('gives up idle regions at once when limits become tighter', () => {
    const { registrar, cache, use } = newCache();
    const held = cache.acquire(0, 100, remoteRead);
    use(200, 100);
    use(400, 100);
    cache.setLimits({ maxBytes: 150, maxEntries: 2 });
    expect(registrar.ranges()).to.deep.equal(['0+100']);
    cache.setLimits({ maxBytes: 50, maxEntries: 1 });
    expect(registrar.ranges()).to.deep.equal(['0+100']);
    cache.release(held);
    expect(registrar.ranges()).to.deep.equal([]);
  });

  it('knows the longest range it can register', () => {
    expect(newCache({ maxBytes: 300 }).cache.maximumLength).to.equal(300);
    expect(newCache({ maxBytes: Infinity }).cache.maximumLength).to.equal(10_000);
    const { cache } = newCache({ maxBytes: 300 });
    expect(() => cache.acquire(0, 301, remoteRead)).to.throw('maximumLength');
  });
});

describe('registration cache: ENOMEM', () => {
  it('evicts idle regions one by one until the kernel agrees', () => {
    const { registrar, cache, use } = newCache();
    use(0, 10);
    use(100, 10);
    use(200, 10);
    registrar.failures = 2;
    use(300, 10);
    expect(registrar.ranges()).to.deep.equal(['200+10', '300+10']);
    expect(cache.statistics).to.include({ evictions: 2, retries: 1, failures: 0 });
  });

  it('gives notRegistered when nothing idle is left, and recovers', () => {
    const { registrar, cache, use } = newCache();
    use(0, 10);
    const held = cache.acquire(100, 10, remoteRead);
    registrar.failures = 2;
    expect(cache.acquire(300, 10, remoteRead)).to.equal(notRegistered);
    expect(registrar.ranges()).to.deep.equal(['100+10']);
    expect(cache.statistics).to.include({ retries: 0, failures: 1 });
    cache.release(held);
    use(300, 10);
  });

  it('recognises ENOMEM by errno of either sign', () => {
    for (const errno of [12, -12]) {
      const { registrar, cache } = newCache();
      registrar.failure = Object.assign(new Error('ibv_reg_mr'), { errno });
      registrar.failures = 1;
      expect(cache.acquire(0, 10, remoteRead)).to.equal(notRegistered);
    }
  });

  it('throws any other error on', () => {
    const { registrar, cache } = newCache();
    registrar.failure = Object.assign(new Error('device gone'), { code: 'EIO', errno: 5 });
    registrar.failures = 2;
    expect(() => cache.acquire(0, 10, remoteRead)).to.throw('device gone');
    registrar.failure = 'not even an error' as unknown as Error;
    expect(() => cache.acquire(0, 10, remoteRead)).to.throw();
    expect(cache.statistics).to.include({ entries: 0, pinnedBytes: 0 });
  });
});

describe('registration cache: invalidation', () => {
  it('deregisters idle regions that overlap, and no others', () => {
    const { registrar, cache, use } = newCache();
    use(0, 100);
    use(50, 100, remoteWrite);
    use(200, 100);
    cache.invalidate(90, 20);
    expect(registrar.ranges()).to.deep.equal(['200+100']);
    cache.invalidate(100, 100);
    cache.invalidate(300, 100);
    expect(registrar.ranges()).to.deep.equal(['200+100']);
  });

  it('leaves regions in use to their last release and never hits them again', () => {
    const { registrar, cache } = newCache();
    const first = cache.acquire(0, 100, remoteRead);
    const second = cache.acquire(0, 100, remoteRead);
    cache.invalidate(99, 1);
    const third = cache.acquire(0, 100, remoteRead);
    expect(cache.rkey(third)).to.not.equal(cache.rkey(first));
    cache.release(first);
    expect(registrar.live.size).to.equal(2);
    cache.release(second);
    expect(registrar.live.size).to.equal(1);
    cache.release(third);
    expect(registrar.live.size).to.equal(1);
  });

  it('may be repeated for a region in use', () => {
    const { registrar, cache } = newCache();
    const held = cache.acquire(0, 100, remoteRead);
    cache.invalidate(0, 100);
    cache.invalidate(0, 100);
    cache.release(held);
    expect(registrar.log).to.deep.equal(['register 0+100 access 2', 'deregister 0+100']);
  });
});

describe('registration cache: idle age', () => {
  it('deregisters what was not used for as many sweeps as given', () => {
    const { registrar, cache, use } = newCache();
    use(0, 100);
    const held = cache.acquire(500, 100, remoteRead);
    cache.sweep(2);
    use(200, 100);
    cache.sweep(2);
    expect(registrar.ranges()).to.deep.equal(['500+100', '200+100']);
    cache.sweep(2);
    expect(registrar.ranges()).to.deep.equal(['500+100']);
    cache.release(held);
    cache.sweep(2);
    expect(registrar.ranges()).to.deep.equal(['500+100']);
    cache.sweep(2);
    expect(registrar.ranges()).to.deep.equal([]);
  });
});

describe('registration cache: ends', () => {
  it('refuses an id that was released or never given', () => {
    const { cache } = newCache();
    const registration = cache.acquire(0, 100, remoteRead);
    cache.release(registration);
    expect(() => {
      cache.release(registration);
    }).to.throw('released already');
    expect(() => cache.lkey(7)).to.throw('no such registration');
  });

  it('refuses an id whose region is gone although its place is taken again', () => {
    const { cache } = newCache({ maxEntries: 1 });
    const old = cache.acquire(0, 100, remoteRead);
    cache.release(old);
    cache.acquire(200, 100, remoteRead);
    expect(() => cache.rkey(old)).to.throw('no such registration');
  });

  it('deregisters everything on close, in use or not, once', () => {
    const { registrar, cache, use } = newCache();
    use(0, 100);
    cache.acquire(200, 100, remoteRead);
    cache.acquire(400, 100, remoteRead);
    cache.invalidate(400, 1);
    cache.close();
    cache.close();
    expect(registrar.ranges()).to.deep.equal([]);
    expect(cache.statistics).to.include({ entries: 0, pinnedBytes: 0 });
    expect(() => cache.acquire(0, 100, remoteRead)).to.throw('closed');
  });

  it('refuses ranges outside the arena', () => {
    const { cache } = newCache({ arenaOffset: 100 });
    for (const [offset, length] of [
      [99, 10],
      [10_099, 2],
      [200, 0],
    ]) {
      expect(() => cache.acquire(offset, length, remoteRead)).to.throw('range in arena');
    }
  });
});
