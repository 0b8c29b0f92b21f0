import { type IserTransportOptions, IserTransport } from './iser/iser-transport.ts';
import { TcpTransport } from './tcp/tcp-transport.ts';
import type { Transport } from './transport.ts';

/** The datamover of this name; `strategyFor` is used by iSER only. One object is one connection attempt and its life. */
export function createTransport(name: 'iser' | 'tcp', options: IserTransportOptions): Transport {
  return name === 'iser' ? new IserTransport(options) : new TcpTransport(options);
}
