/**
 * Between an initiator and a real target on TCP: everything passes as it is until a script says otherwise. The target's PDUs are taken
 * apart, so that one of them can be changed, held back, cut, repeated or followed by something else.
 */
import {
  createConnection,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';

/** What happens to a PDU of the target: these bytes are sent instead of it; 'stall': neither it nor anything after it; 'close': the end. */
export type Deed = Uint8Array | 'stall' | 'close';

/** Sees each PDU of the target (header, and data with padding; digests must be off) and how many have passed on this connection. */
export type ProxyScript = (pdu: Uint8Array, passed: number) => Deed;

const honest: ProxyScript = (pdu) => pdu;

export class ScriptedProxy {
  script: ProxyScript = honest;
  /** Connections that were accepted. */
  accepted = 0;
  /** No connection is served: each is closed at once. */
  refusing = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(targetPort: number) {
    this.#server = createServer((initiator) => {
      this.accepted++;
      if (this.refusing) initiator.destroy();
      else this.#join(initiator, createConnection(targetPort, '127.0.0.1'));
    });
  }

  static async start(targetPort: number): Promise<ScriptedProxy> {
    const proxy = new ScriptedProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Everything passes again, on new connections and on those that do not stall. */
  behave(): void {
    this.script = honest;
    this.refusing = false;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(initiator: Socket, target: Socket): void {
    for (const [socket, other] of [
      [initiator, target],
      [target, initiator],
    ] as const) {
      this.#sockets.add(socket);
      // The end that matters is 'close', which follows.
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    initiator.pipe(target);
    let pending = Buffer.alloc(0);
    let passed = 0;
    let stalled = false;
    target.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (!stalled && pending.length >= 48) {
        const dataLength = pending.readUInt32BE(4) & 0xffffff;
        const end = 48 + 4 * pending[4] + dataLength + (-dataLength & 3);
        if (pending.length < end) return;
        const deed = this.script(Uint8Array.from(pending.subarray(0, end)), passed++);
        pending = pending.subarray(end);
        if (deed === 'close') initiator.destroy();
        else if (deed === 'stall') stalled = true;
        else initiator.write(deed);
      }
    });
  }
}

/** The PDU with some bytes changed. */
export function changed(pdu: Uint8Array, bytes: Readonly<Record<number, number>>): Uint8Array {
  const lie = pdu.slice();
  for (const [at, value] of Object.entries(bytes)) lie[Number(at)] = value;
  return lie;
}
