/** Entry file of the TLS relay's thread. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../../src/errors.ts';
import type { RelayEvent, RelayRequest } from './messages.ts';
import { TlsListener } from './tls-listener.ts';

const port = parentPort;
assert(port !== null, 'the TLS relay is a worker thread');
const post = (event: RelayEvent): void => {
  port.postMessage(event);
};
const listeners = new Map<number, TlsListener>();

port.on('message', (request: RelayRequest) => {
  if (request.request === 'limit') {
    for (const listener of listeners.values()) listener.maximumClients = request.maximumClients;
    return;
  }
  const { listener } = request;
  if (request.request === 'listen') {
    listeners.set(listener, new TlsListener(request, post));
    return;
  }
  listeners.get(listener)?.close();
  listeners.delete(listener);
  post({ event: 'closed', listener });
});
