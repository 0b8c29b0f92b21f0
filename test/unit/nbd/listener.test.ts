import { expect } from 'chai';
import { NbdListener } from '../../../src/nbd/listener.ts';
import { FakeTimers } from '../../helpers/fake-timers.ts';
import { FakeReactor } from '../../../src/reactor/fake-reactor.ts';

describe('NBD listener', () => {
  function listen(maximumClients: number) {
    const reactor = new FakeReactor({ arenaBytes: 4096 });
    const socket = reactor.listenerSocket();
    const accepted: number[] = [];
    const errors: number[] = [];
    const timers = new FakeTimers();
    const listener = new NbdListener(socket.fd, {
      reactor,
      maximumClients,
      onConnection: (fd) => accepted.push(fd),
      onAcceptError: (errno) => errors.push(errno),
      timers,
    });
    return { reactor, socket, listener, timers, accepted, errors };
  }

  it('hands over the socket of every client', () => {
    const { reactor, socket, listener, accepted } = listen(10);
    socket.connect();
    socket.connect();
    reactor.run();
    expect(accepted).to.have.lengthOf(2);
    expect(listener.clients).to.equal(2);
  });

  it('closes clients beyond the limit, and takes one again when one has gone', () => {
    const { reactor, socket, listener, accepted } = listen(1);
    const first = socket.connect();
    const second = socket.connect();
    reactor.run();
    expect([first.closed, second.closed]).to.deep.equal([false, true]);
    expect(listener.refused).to.equal(1);
    listener.clientClosed();
    socket.connect();
    reactor.run();
    expect(accepted).to.have.lengthOf(2);
  });

  it('survives that a client cannot even be turned away', () => {
    const { reactor, socket, listener } = listen(0);
    Object.assign(reactor, {
      openStream: () => {
        throw new Error('ENOMEM');
      },
    });
    socket.connect();
    reactor.run();
    expect(listener.refused).to.equal(1);
  });

  it('goes on after accept has failed', () => {
    const { reactor, socket, accepted, errors } = listen(1);
    socket.fail(24);
    socket.connect();
    reactor.run();
    expect(errors).to.deep.equal([24]);
    expect(accepted).to.have.lengthOf(1);
  });

  it('tries again while there are no descriptors, and says so once', () => {
    const { reactor, socket, timers, errors } = listen(2);
    for (let attempt = 0; attempt < 3; attempt++) {
      socket.fail(24);
      reactor.run();
      timers.advance(500);
    }
    expect(reactor.descriptorsFreed).to.equal(3);
    expect(errors).to.deep.equal([24]);
    socket.connect();
    socket.fail(24);
    reactor.run();
    expect(errors).to.deep.equal([24, 24]);
  });

  it('tries again when a client has gone', () => {
    const { reactor, socket, listener } = listen(2);
    socket.connect();
    socket.fail(24);
    reactor.run();
    listener.clientClosed();
    expect(reactor.descriptorsFreed).to.equal(1);
  });

  it('tries no more once it is closed', () => {
    const { reactor, socket, listener, timers } = listen(2);
    socket.fail(24);
    reactor.run();
    listener.close();
    timers.advance(10_000);
    expect(reactor.descriptorsFreed).to.equal(0);
  });

  it('closes once', () => {
    const { reactor, listener } = listen(1);
    listener.close();
    listener.close();
    expect(reactor.openObjects).to.equal(0);
  });

  it('does not count clients that never came', () => {
    expect(() => {
      listen(1).listener.clientClosed();
    }).to.throw('more NBD clients closed');
  });
});
