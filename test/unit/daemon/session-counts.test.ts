import { expect } from 'chai';
import { SessionCounts } from '../../../daemon/lane/session-counts.ts';
import type { SessionEvent } from '../../../src/iscsi/session-options.ts';
import { emptySessionStatistics } from '../../../src/iscsi/session-options.ts';
import { NbdCounter, nbdCounterCount } from '../../../src/nbd/counters.ts';
import { NbdEnd } from '../../../src/nbd/end.ts';
import { ConnectionEnd } from '../../../src/transport/transport.ts';

const portal = { address: '10.0.0.5', port: 3260 };
const loggedIn: SessionEvent = { kind: 'logged-in', portal, tsih: 1 };
const closed = (end: ConnectionEnd): SessionEvent => ({
  kind: 'connection-closed',
  portal,
  end,
  detail: '',
  outstanding: 0,
});
const refused: SessionEvent = {
  kind: 'login-failed',
  portal,
  failure: 'target-not-found',
  message: '',
};

describe('what a session has met', () => {
  const of = (...events: SessionEvent[]): ReturnType<SessionCounts['statistics']> => {
    const counts = new SessionCounts();
    for (const event of events) counts.onSessionEvent(event);
    return counts.statistics(new Float64Array(nbdCounterCount), emptySessionStatistics());
  };

  it('are losses of connections that were logged in, by reason', () => {
    const { connectionsLost, loginFailures } = of(
      loggedIn,
      closed(ConnectionEnd.nopTimeout),
      loggedIn,
      closed(ConnectionEnd.nopTimeout),
    );
    expect(connectionsLost).to.deep.equal({ 'nop-timeout': 2 });
    expect(loginFailures).to.deep.equal({});
  });

  it('are attempts that came to nothing, each once, with its cause', () => {
    const { connectionsLost, loginFailures } = of(
      { kind: 'no-portal', message: '' },
      closed(ConnectionEnd.connectRefused),
      refused,
      closed(ConnectionEnd.loginFailed),
      loggedIn,
    );
    expect(connectionsLost).to.deep.equal({});
    expect(loginFailures).to.deep.equal({
      'no-portal': 1,
      'connect-refused': 1,
      'target-not-found': 1,
    });
  });

  it('are not what was asked for', () => {
    const { connectionsLost, loginFailures } = of(loggedIn, closed(ConnectionEnd.requested));
    expect([connectionsLost, loginFailures]).to.deep.equal([{}, {}]);
  });

  it('are requests by kind, and clients that have gone by reason', () => {
    const counts = new SessionCounts();
    counts.onClientEnd(NbdEnd.disconnected);
    counts.onClientEnd(NbdEnd.disconnected);
    const counters = new Float64Array(nbdCounterCount);
    counters[NbdCounter.trims] = 2;
    counters[NbdCounter.caches] = 3;
    counters[NbdCounter.reads] = 5;
    const commands = { ...emptySessionStatistics(), logins: 3, abortTasks: 7 };
    const statistics = counts.statistics(counters, commands);
    expect(statistics).to.include({ reads: 5, trims: 2, caches: 3, others: 5, reconnects: 2 });
    expect(statistics.clientEnds).to.deep.equal({ disconnected: 2 });
    expect(statistics.commands).to.include({ abortTasks: 7, sent: 0 });
  });
});
