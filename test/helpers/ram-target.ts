/**
 * An iSCSI target on a TCP port of this machine, with a RAM logical unit at every LUN: a peer for the whole daemon that changes, fails
 * and comes back on command. Polite by itself: no digests, one connection per session, R2T for what is not immediate data.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { RamLogicalUnit, ScsiAnswer } from './ram-logical-unit.ts';
import { checkCondition, fixedSense } from './ram-logical-unit.ts';
import { keyText, noTag, onTcp, pduHeader, politeKeys } from './scripted-pdu.ts';
import type { PduFields } from './scripted-pdu.ts';
import { Opcode } from '../../src/wire/bhs.ts';

const headerLength = 48;
const dataInLength = 8192;
const burstLength = 262_144;
const commandWindow = 64;
const unitAttentionKey = 6;
/** INQUIRY, REPORT LUNS and REQUEST SENSE do not meet unit attentions (SAM-6 §5.14). */
const unattended: readonly number[] = [0x12, 0xa0, 0x03];

export class RamTarget {
  readonly targetName = 'iqn.2026-11.test:ram';
  unit: RamLogicalUnit;
  readonly #connections = new Set<RamConnection>();
  #server: Server | undefined;
  #port = 0;

  private constructor(unit: RamLogicalUnit) {
    this.unit = unit;
  }

  static async start(unit: RamLogicalUnit): Promise<RamTarget> {
    const target = new RamTarget(unit);
    await target.listen();
    return target;
  }

  get url(): string {
    return `iscsi://127.0.0.1:${this.#port}/${this.targetName}/0`;
  }

  /** Sessions that are logged in. */
  get sessions(): number {
    return [...this.#connections].filter(({ isLoggedIn }) => isLoggedIn).length;
  }

  /** (Again,) on the same port. */
  listen(): Promise<void> {
    const server = createServer((socket) => {
      const connection = new RamConnection(socket, () => this.unit);
      this.#connections.add(connection);
      socket.on('close', () => this.#connections.delete(connection));
    });
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', () => {
        this.#port = (server.address() as AddressInfo).port;
        resolve();
      });
    });
  }

  /** Every connection is gone, and nobody listens any more. */
  stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const connection of this.#connections) connection.destroy();
    return new Promise((resolve) => {
      if (server === undefined) resolve();
      else
        server.close(() => {
          resolve();
        });
    });
  }

  /** The next command of every session meets this condition (ASC << 8 | ASCQ). */
  attention(code: number): void {
    for (const connection of this.#connections) connection.attentions.push(code);
  }

  /** Tells every session at once, by an asynchronous message (RFC 7143 §11.9). */
  asyncEvent(code: number): void {
    for (const connection of this.#connections) connection.sendAsyncEvent(code);
  }
}

interface Write {
  readonly header: Buffer;
  readonly data: Buffer;
  received: number;
  /** End of the burst that was asked for. */
  burstEnd: number;
}

class RamConnection {
  readonly attentions: number[] = [];
  isLoggedIn = false;
  readonly #socket: Socket;
  readonly #unit: () => RamLogicalUnit;
  #received: Buffer = Buffer.alloc(0);
  #statSn = 1;
  #expCmdSn = 0;
  /** Writes that wait for data, by Initiator Task Tag. */
  readonly #writes = new Map<number, Write>();

  constructor(socket: Socket, unit: () => RamLogicalUnit) {
    this.#socket = socket;
    this.#unit = unit;
    socket.setNoDelay(true);
    // Its end is all that matters.
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      while (this.#takePdu());
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  sendAsyncEvent(code: number): void {
    const sense = fixedSense(unitAttentionKey, code);
    const data = Uint8Array.of(0, sense.length, ...sense);
    this.#send({ opcode: Opcode.asyncMessage, data });
  }

  #takePdu(): boolean {
    if (this.#received.length < headerLength) return false;
    const dataLength = this.#received.readUIntBE(5, 3);
    const end = headerLength + Math.ceil(dataLength / 4) * 4;
    if (this.#received.length < end) return false;
    const header = this.#received.subarray(0, headerLength);
    const data = this.#received.subarray(headerLength, headerLength + dataLength);
    this.#received = this.#received.subarray(end);
    this.#onPdu(header, data);
    return true;
  }

  #onPdu(header: Buffer, data: Buffer): void {
    const opcode = header[0] & 0x3f;
    const isImmediate = (header[0] & 0x40) !== 0;
    const itt = header.readUInt32BE(16);
    const cmdSn = header.readUInt32BE(24);
    if (opcode === Opcode.loginRequest) this.#expCmdSn = cmdSn;
    else if (!isImmediate && opcode !== Opcode.dataOut) this.#expCmdSn = (cmdSn + 1) >>> 0;
    switch (opcode) {
      case Opcode.loginRequest:
        this.#onLogin(header, itt);
        return;
      case Opcode.nopOut:
        if (itt !== noTag) this.#send({ opcode: Opcode.nopIn, itt });
        return;
      case Opcode.logoutRequest:
        this.#send({ opcode: Opcode.logoutResponse, itt, ttt: 0 });
        this.#socket.end();
        return;
      case Opcode.taskManagementRequest:
        this.#send({ opcode: Opcode.taskManagementResponse, itt, ttt: 0 });
        return;
      case Opcode.scsiCommand:
        this.#onCommand(header, data, itt);
        return;
      case Opcode.dataOut:
        this.#onDataOut(header, data, itt);
        return;
      default:
        throw new Error(`RAM target: opcode ${opcode}`);
    }
  }

  #onLogin(header: Buffer, itt: number): void {
    this.isLoggedIn = true;
    // ISID of the request, TSIH 1.
    const bytes: Record<number, number> = { 15: 1 };
    for (let at = 8; at < 14; at++) bytes[at] = header[at];
    this.#send({
      opcode: Opcode.loginResponse,
      flags: 0x87,
      itt,
      ttt: 0,
      bytes,
      data: keyText(politeKeys(false)),
    });
  }

  #onCommand(header: Buffer, data: Buffer, itt: number): void {
    const isWrite = (header[1] & 0x20) !== 0;
    const expected = isWrite ? header.readUInt32BE(20) : 0;
    const write: Write = {
      header: Buffer.from(header),
      data: Buffer.alloc(expected),
      received: data.length,
      burstEnd: 0,
    };
    data.copy(write.data);
    this.#writes.set(itt, write);
    this.#goOn(itt, write);
  }

  #onDataOut(header: Buffer, data: Buffer, itt: number): void {
    const write = this.#writes.get(itt);
    if (write === undefined) throw new Error('RAM target: Data-Out for no command');
    data.copy(write.data, header.readUInt32BE(40));
    write.received += data.length;
    if (write.received >= write.burstEnd) this.#goOn(itt, write);
  }

  /** Asks for the next burst, or executes what is complete. */
  #goOn(itt: number, write: Write): void {
    const { received, data } = write;
    if (received < data.length) {
      const length = Math.min(data.length - received, burstLength);
      write.burstEnd = received + length;
      const opcode = Opcode.r2t;
      this.#send({ opcode, itt, ttt: 1, bufferOffset: received, word44: length });
      return;
    }
    this.#writes.delete(itt);
    this.#answer(itt, write.header, this.#execute(write.header.subarray(32, 48), data));
  }

  #execute(cdb: Buffer, data: Buffer): ScsiAnswer {
    const attention = unattended.includes(cdb[0]) ? undefined : this.attentions.shift();
    return attention === undefined
      ? this.#unit().execute(Uint8Array.from(cdb), Uint8Array.from(data))
      : checkCondition(unitAttentionKey, attention);
  }

  #answer(itt: number, header: Buffer, { status, sense, data: all }: ScsiAnswer): void {
    const expected = (header[1] & 0x40) === 0 ? 0 : header.readUInt32BE(20);
    const data = all.subarray(0, expected);
    let dataSn = 0;
    for (let at = 0; at < data.length; at += dataInLength) {
      const part = data.subarray(at, at + dataInLength);
      const end = at + part.length;
      const flags = end === data.length || end % burstLength === 0 ? 0x80 : 0;
      const opcode = Opcode.dataIn;
      this.#send({ opcode, flags, itt, dataSn: dataSn++, bufferOffset: at, data: part });
    }
    const residual = expected - data.length;
    this.#send({
      opcode: Opcode.scsiResponse,
      flags: residual > 0 ? 0x82 : 0x80,
      status,
      itt,
      ttt: 0,
      dataSn,
      word44: residual,
      data: sense.length === 0 ? sense : Uint8Array.of(0, sense.length, ...sense),
    });
  }

  #send(fields: PduFields): void {
    const { opcode, flags = 0x80, itt = noTag } = fields;
    const header = pduHeader(fields, {
      statSn: this.#statSn,
      expCmdSn: this.#expCmdSn,
      maxCmdSn: (this.#expCmdSn + commandWindow - 1) >>> 0,
    });
    const hasNoStatus =
      opcode === Opcode.r2t ||
      (opcode === Opcode.dataIn && (flags & 1) === 0) ||
      (opcode === Opcode.nopIn && itt === noTag);
    if (!hasNoStatus) this.#statSn = (this.#statSn + 1) >>> 0;
    this.#socket.write(onTcp(header, fields.data ?? new Uint8Array(0)));
  }
}
