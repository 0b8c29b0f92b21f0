import { expect } from 'chai';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SocketListeners } from '../../../daemon/socket-listener.ts';
import { system } from '../../../daemon/system.ts';

describe('the sockets on which clients come in', () => {
  let directory: string;
  let path: string;
  let listeners: SocketListeners;
  let accepted: number[];
  let clients: Socket[];
  let onAccepted: () => void;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-listen-'));
    path = join(directory, 'nbd');
    listeners = new SocketListeners();
    accepted = [];
    clients = [];
    onAccepted = () => undefined;
  });
  afterEach(() => {
    for (const client of clients) client.destroy();
    for (const fd of accepted) system.closeFd(fd);
    listeners.close();
    rmSync(directory, { recursive: true });
  });

  const accept = (fd: number): void => {
    accepted.push(fd);
    onAccepted();
  };

  /** Connects and resolves when the listener has handed the connection over. */
  async function connect(to = path): Promise<void> {
    const handedOver = new Promise<void>((resolve) => {
      onAccepted = resolve;
    });
    clients.push(createConnection(to));
    await handedOver;
  }

  it('hand over every connection, for the owner only', async () => {
    listeners.listen(path, accept);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    await connect();
    await connect();
    expect(accepted).to.have.length(2);
  });

  it('share one reactor', async () => {
    const other = join(directory, 'other');
    listeners.listen(path, accept);
    listeners.listen(other, accept);
    await connect();
    await connect(other);
    expect(accepted).to.have.length(2);
  });

  it('are removed when they are closed, if we have made them', async () => {
    await listeners.listen(path, accept).close();
    expect(existsSync(path)).to.equal(false);
  });

  it('may have been removed by somebody else', async () => {
    const listener = listeners.listen(path, accept);
    rmSync(path);
    await listener.close();
  });

  it('that were passed to us keep their file', async () => {
    const listener = listeners.listen(system.listenUnix(path, 0o600, 8), accept);
    await connect();
    await listener.close();
    expect(existsSync(path)).to.equal(true);
  });

  it('are refused where somebody listens', () => {
    listeners.listen(path, accept);
    expect(() => listeners.listen(path, accept)).to.throw(/in use/);
  });

  it('take another client when one of the most they take is gone', async () => {
    const most = 128;
    const listener = listeners.listen(path, accept);
    for (let count = 0; count < most; count++) await connect();
    const next = connect();
    expect(accepted).to.have.length(most);
    listener.clientClosed();
    await next;
    expect(accepted).to.have.length(most + 1);
  });
});
