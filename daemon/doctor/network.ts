/** How portals are reached for real: connect(2) over TCP, address and route resolution over RDMA. */
import { createConnection } from 'node:net';
import { CodedError } from '../../src/errors.ts';
import { CmEvent } from '../../src/iser/verbs.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';
import { endOfCmEvent, endOfNativeError } from '../../src/transport/iser/ends.ts';
import { ConnectionEnd } from '../../src/transport/transport.ts';
import { resolveHost } from '../lane/resolve-host.ts';
import type { Network } from './portals.ts';

const timeoutMs = 5000;

/** `reactor` is asked for at the first way over RDMA. */
export function realNetwork(reactor: () => Reactor): Network {
  return {
    resolve: resolveHost,
    reach: (transport, address, port) =>
      transport === 'tcp' ? reachByTcp(address, port) : reachByRdma(reactor(), address, port),
  };
}

function reachByTcp(address: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: address, port, timeout: timeoutMs });
    const end = (settle: () => void): void => {
      socket.destroy();
      settle();
    };
    socket.once('connect', () => {
      const { localAddress = 'nowhere' } = socket;
      end(() => {
        resolve(` (TCP, from ${localAddress})`);
      });
    });
    socket.once('error', (error) => {
      end(() => {
        reject(error);
      });
    });
    socket.once('timeout', () => {
      end(() => {
        reject(new CodedError('timeout', `no answer from ${address} in ${timeoutMs / 1000} s`));
      });
    });
  });
}

const smallQueuePair = { sendDepth: 1, receiveDepth: 1, maxInline: 0 };

/** The address must lead to an RDMA device, and the device must find the way to it. Nothing is sent to the target yet. */
async function reachByRdma(reactor: Reactor, address: string, port: number): Promise<string> {
  const opened: number[] = [];
  try {
    return await new Promise<string>((resolve, reject) => {
      let device = '';
      const guard = (action: () => void): void => {
        try {
          action();
        } catch (error) {
          const { end, detail } = endOfNativeError(error, ConnectionEnd.unreachable);
          reject(new CodedError(end, detail));
        }
      };
      guard(() => {
        const connection = reactor.rdmaOpen({
          onRdmaSent: () => undefined,
          onRdmaReceived: () => undefined,
          onDeviceEvent: () => undefined,
          onCmEvent: (event, status) => {
            const ending = endOfCmEvent(event, status);
            if (ending !== undefined) reject(new CodedError(ending.end, ending.detail));
            else if (event === CmEvent.routeResolved) resolve(` (RDMA, over ${device})`);
            else if (event === CmEvent.addressResolved) {
              guard(() => {
                const domain = reactor.rdmaCreateQueuePair(connection, smallQueuePair);
                ({ device } = reactor.rdmaDeviceLimits(domain));
                reactor.rdmaResolveRoute(connection, timeoutMs);
              });
            }
          },
        });
        opened.push(connection);
        reactor.rdmaResolveAddress(connection, address, port, timeoutMs);
      });
    });
  } finally {
    for (const connection of opened) reactor.close(connection);
  }
}
