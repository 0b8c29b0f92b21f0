/**
 * Between an initiator and a target over TCP: passes PDUs on, until it is told to be late, to repeat itself, to fall silent or to
 * close. It knows where a PDU ends (RFC 7143 §11.2; digests are not negotiated) and, of the target's, which answer a command.
 */
import {
  createConnection,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';

const bhsLength = 48;
const opcodeMask = 0x3f;
const scsiResponse = 0x21;
const loginResponse = 0x23;

export type ProxyMode =
  /** Passes everything on. */
  | { readonly kind: 'pass' }
  /** Connections are accepted and closed, those that there are too. */
  | { readonly kind: 'drop' }
  /** The same, but the login is let through. */
  | { readonly kind: 'drop-after-login' }
  /** Connections stay, nothing comes through. */
  | { readonly kind: 'silent' }
  /** SCSI Responses come so much later, in order with everything behind them. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** The next SCSI Response comes so much later, out of order. */
  | { readonly kind: 'delay-one'; readonly delayMs: number }
  /** The next SCSI Response comes twice. */
  | { readonly kind: 'duplicate-one' };

export class PduProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #mode: ProxyMode = { kind: 'pass' };

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(host: string, port: number): Promise<PduProxy> {
    const server = createServer();
    const proxy = new PduProxy(server);
    server.on('connection', (initiator) => {
      if (proxy.#mode.kind === 'drop') {
        initiator.destroy();
        return;
      }
      const pair = new Pair(initiator, createConnection({ host, port }), proxy);
      proxy.#pairs.add(pair);
      pair.whenClosed(() => proxy.#pairs.delete(pair));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** "127.0.0.1:PORT". */
  get portal(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get mode(): ProxyMode {
    return this.#mode;
  }

  set mode(mode: ProxyMode) {
    this.#mode = mode;
    for (const pair of this.#pairs) {
      if (mode.kind === 'drop' || mode.kind === 'drop-after-login') pair.destroy();
      else if (mode.kind !== 'silent') pair.resume();
    }
  }

  /** For what happens once: from the next PDU on everything is passed. */
  passFromNowOn(): void {
    this.#mode = { kind: 'pass' };
  }

  async close(): Promise<void> {
    this.mode = { kind: 'drop' };
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** One connection of the initiator and its continuation to the target. */
class Pair {
  readonly #initiator: Socket;
  readonly #target: Socket;
  readonly #proxy: PduProxy;
  #received: Buffer = Buffer.alloc(0);
  /** Not to be written before what is held back: a PDU, and when it is due. */
  readonly #late: { readonly pdu: Buffer; readonly dueMs: number }[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** What came in while nothing was let through. */
  #held: Buffer[] = [];

  constructor(initiator: Socket, target: Socket, proxy: PduProxy) {
    this.#initiator = initiator;
    this.#target = target;
    this.#proxy = proxy;
    for (const socket of [initiator, target]) {
      socket.setNoDelay(true);
      // What matters is 'close', which follows.
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.destroy();
      });
    }
    initiator.on('data', (chunk: Buffer) => {
      if (proxy.mode.kind === 'silent') this.#held.push(chunk);
      else target.write(chunk);
    });
    target.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      if (proxy.mode.kind !== 'silent') this.#passOn();
    });
  }

  whenClosed(action: () => void): void {
    this.#initiator.on('close', action);
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#initiator.destroy();
    this.#target.destroy();
  }

  /** Everything that was held back goes on. */
  resume(): void {
    for (const chunk of this.#held.splice(0)) this.#target.write(chunk);
    this.#passOn();
  }

  #passOn(): void {
    for (let pdu = this.#takePdu(); pdu !== undefined; pdu = this.#takePdu()) {
      const { mode } = this.#proxy;
      const opcode = pdu[0] & opcodeMask;
      const endsLogin = opcode === loginResponse && (pdu[1] & 0x83) === 0x83;
      if (mode.kind === 'drop-after-login' && endsLogin) {
        this.#initiator.end(pdu);
        this.#target.destroy();
        return;
      }
      this.#forward(pdu, opcode === scsiResponse);
    }
  }

  #forward(pdu: Buffer, isResponse: boolean): void {
    const { mode } = this.#proxy;
    if (mode.kind === 'delay' && isResponse) {
      this.#later(pdu, performance.now() + mode.delayMs);
    } else if (mode.kind === 'delay-one' && isResponse) {
      this.#proxy.passFromNowOn();
      setTimeout(() => this.#initiator.write(pdu), mode.delayMs).unref();
    } else if (mode.kind === 'duplicate-one' && isResponse) {
      this.#proxy.passFromNowOn();
      this.#initiator.write(pdu);
      this.#initiator.write(pdu);
    } else if (this.#late.length > 0) {
      this.#later(pdu, performance.now());
    } else {
      this.#initiator.write(pdu);
    }
  }

  #later(pdu: Buffer, dueMs: number): void {
    this.#late.push({ pdu, dueMs });
    this.#armTimer();
  }

  #armTimer(): void {
    if (this.#timer !== undefined || this.#late.length === 0) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const nowMs = performance.now();
        while (this.#late.length > 0 && this.#late[0].dueMs <= nowMs) {
          const [{ pdu }] = this.#late.splice(0, 1);
          this.#initiator.write(pdu);
        }
        this.#armTimer();
      },
      Math.max(0, this.#late[0].dueMs - performance.now()),
    );
  }

  /** The next whole PDU of the target. */
  #takePdu(): Buffer | undefined {
    if (this.#received.length < bhsLength) return undefined;
    const dataLength = this.#received.readUInt32BE(4) & 0xffffff;
    const length = bhsLength + this.#received[4] * 4 + dataLength + (-dataLength & 3);
    if (this.#received.length < length) return undefined;
    const pdu = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return pdu;
  }
}
