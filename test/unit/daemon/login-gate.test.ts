import { expect } from 'chai';
import { LoginGate } from '../../../daemon/login-gate.ts';
import { FakeTimers } from '../../helpers/fake-timers.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Logins that end when they are told to. */
class Fixture {
  readonly timers = new FakeTimers();
  readonly gate = new LoginGate({ places: 2, patienceMs: 1000, timers: this.timers });
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly never = new AbortController();

  login(name: string, signal = this.never.signal): Promise<string> {
    return this.gate.run(() => {
      this.begun.push(name);
      return new Promise((resolve) => {
        this.#ends.set(name, () => {
          resolve(name);
        });
      });
    }, signal);
  }

  end(name: string): void {
    this.#ends.get(name)?.();
  }
}

describe('the gate of logins', () => {
  it('lets so many begin, and the next one when one has ended', async () => {
    const fixture = new Fixture();
    const all = ['a', 'b', 'c', 'd'].map((name) => fixture.login(name));
    await turn();
    expect(fixture.begun).to.deep.equal(['a', 'b']);
    fixture.end('b');
    await turn();
    expect(fixture.begun).to.deep.equal(['a', 'b', 'c']);
    fixture.end('a');
    await turn();
    for (const name of ['c', 'd']) fixture.end(name);
    expect(await Promise.all(all)).to.deep.equal(['a', 'b', 'c', 'd']);
  });

  it('gives the place of a login that takes long to the next one, once', async () => {
    const fixture = new Fixture();
    void ['dead', 'dead too', 'c', 'd', 'e'].map((name) => fixture.login(name));
    await turn();
    fixture.timers.advance(999);
    await turn();
    expect(fixture.begun).to.deep.equal(['dead', 'dead too']);
    fixture.timers.advance(1);
    await turn();
    expect(fixture.begun.slice(2)).to.deep.equal(['c', 'd']);
    fixture.end('dead');
    await turn();
    expect(fixture.begun.slice(2)).to.deep.equal(['c', 'd']);
  });

  it('lets no more in than have places when some come as places become free', async () => {
    const fixture = new Fixture();
    for (const name of ['a', 'b', 'c', 'd']) void fixture.login(name);
    await turn();
    fixture.timers.advance(1000);
    for (const name of ['e', 'f']) void fixture.login(name);
    await turn();
    expect(fixture.begun).to.deep.equal(['a', 'b', 'c', 'd']);
  });

  it('lets another one in after a failure', async () => {
    const { gate, never } = new Fixture();
    const fail = (): Promise<never> => Promise.reject(new Error('refused'));
    for (let i = 0; i < 3; i++) {
      const outcome = await gate.run(fail, never.signal).catch((error: unknown) => error);
      expect((outcome as Error).message).to.equal('refused');
    }
  });

  it('is not waited for by who has given up', async () => {
    const fixture = new Fixture();
    for (const name of ['a', 'b']) void fixture.login(name);
    const leaver = new AbortController();
    const left = fixture.login('c', leaver.signal).catch((error: unknown) => error);
    void fixture.login('d');
    leaver.abort();
    expect(await left).to.include({ code: 'login-given-up' });
    fixture.end('a');
    await turn();
    expect(fixture.begun).to.deep.equal(['a', 'b', 'd']);
    const late = await fixture.login('e', leaver.signal).catch((error: unknown) => error);
    expect(late).to.include({ code: 'login-given-up' });
  });
});
