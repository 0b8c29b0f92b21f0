/**
 * A target at the other end of a real transport over the fake reactor: it reads what the initiator has sent and answers by script.
 * By itself it is polite; `mutate` and the fields of each PDU let it lie at any byte, `stall` and `close` let it fail.
 */
import type { FakeRdmaPeer, FakeStreamPeer } from '../../src/reactor/fake-reactor.ts';
import {
  type Framing,
  keyText,
  noTag,
  onIser,
  onTcp,
  pduHeader,
  type PduFields,
  politeKeys,
} from './scripted-pdu.ts';
import { Opcode } from '../../src/wire/bhs.ts';

/** A request as it came over the wire. */
export interface WireRequest {
  readonly opcode: number;
  readonly immediate: boolean;
  readonly flags: number;
  readonly lun: bigint;
  readonly itt: number;
  /** Expected data transfer length, TTT or referenced task tag. */
  readonly word20: number;
  readonly cmdSn: number;
  readonly bhs: Uint8Array;
  readonly data: Uint8Array;
  /** iSER: where the target may write read data, and read write data. */
  readonly readStag: number;
  readonly readAddress: bigint;
  readonly writeStag: number;
  readonly writeAddress: bigint;
}

/** R of a SCSI command's byte 1. */
const readFlag = 0x40;
/** What a polite target's blocks are full of. */
export const servedByte = 0xd5;
const iserHeaderLength = 28;

/** One connection, seen from its target. */
export abstract class WireTarget {
  /** Default framing of what is sent. */
  framing: Framing = {};
  statSn = 100;
  expCmdSn = 0;
  /** How far the command window reaches beyond the last command seen. */
  window = 64;
  /** SCSI commands that have come and were not answered by `good` or `status`, oldest first. */
  readonly commands: WireRequest[] = [];
  /** Everything that has come, oldest first. */
  readonly requests: WireRequest[] = [];
  #mutation: ((message: Uint8Array) => Uint8Array) | undefined;

  abstract readonly rdma: boolean;
  protected abstract fetch(): WireRequest[];
  /** Bytes as they are: on TCP anywhere in the stream, on iSER one message. */
  abstract raw(bytes: Uint8Array): void;
  /** Ends the connection, as a target that dies does. */
  abstract close(): void;
  /** Nothing is taken from the initiator any more. */
  abstract stall(): void;
  /** Gives a read command `bytes` of its data: Data-In without status, or RDMA WRITE. */
  abstract place(command: WireRequest, bytes: Uint8Array, offset?: number): void;

  /** What has come since the last call. */
  take(): WireRequest[] {
    const fresh = this.fetch();
    for (const request of fresh) {
      if (request.opcode === Opcode.loginRequest) this.expCmdSn = request.cmdSn;
      else if (!request.immediate && request.opcode !== 0x05)
        this.expCmdSn = (request.cmdSn + 1) >>> 0;
      if (request.opcode === Opcode.scsiCommand) this.commands.push(request);
      this.requests.push(request);
    }
    return fresh;
  }

  /** The oldest request with this opcode of those that have come since the last call of `take`; throws when there is none. */
  expect(opcode: number): WireRequest {
    const fresh = this.take();
    const found = fresh.find((request) => request.opcode === opcode);
    if (found === undefined) {
      const seen = fresh.map((request) => `0x${request.opcode.toString(16)}`).join(' ');
      throw new Error(`no request 0x${opcode.toString(16)}, but: ${seen}`);
    }
    return found;
  }

  /** The next message sent goes through this. */
  mutate(change: (message: Uint8Array) => Uint8Array): void {
    this.#mutation = change;
  }

  /** Sends a PDU with the right sequence numbers where the fields do not say otherwise. */
  send(fields: PduFields, framing: Framing = {}): void {
    const header = pduHeader(fields, {
      statSn: this.statSn,
      expCmdSn: this.expCmdSn,
      maxCmdSn: (this.expCmdSn + this.window - 1) >>> 0,
    });
    const unsolicited = fields.opcode === Opcode.nopIn && (fields.itt ?? noTag) === noTag;
    const carriesNoStatus =
      fields.opcode === Opcode.r2t ||
      (fields.opcode === Opcode.dataIn && ((fields.flags ?? 0x80) & 1) === 0);
    if (!unsolicited && !carriesNoStatus) this.statSn = (this.statSn + 1) >>> 0;
    const data = fields.data ?? new Uint8Array(0);
    const all = { ...this.framing, ...framing };
    const message = this.rdma ? onIser(header, data, all) : onTcp(header, data, all);
    const change = this.#mutation;
    this.#mutation = undefined;
    this.raw(change === undefined ? message : change(message));
  }

  /** Answers the login request that has come: as asked for, with these keys instead of the usual ones, with these fields. */
  login(
    keys: readonly string[] = politeKeys(this.rdma),
    fields: Partial<PduFields> = {},
    request = this.expect(Opcode.loginRequest),
  ): void {
    this.send({
      opcode: Opcode.loginResponse,
      flags: 0x87,
      itt: request.itt,
      ttt: 0,
      // The first window is one command.
      maxCmdSn: request.cmdSn,
      // ISID of the request, TSIH 7.
      bytes: {
        ...Object.fromEntries([8, 9, 10, 11, 12, 13].map((at) => [at, request.bhs[at]])),
        15: 7,
      },
      data: keyText(keys),
      ...fields,
    });
  }

  /** Opens the command window by a NOP-In that nobody asked for. */
  openWindow(): void {
    this.send({ opcode: Opcode.nopIn });
  }

  /** Answers a command; GOOD by default, read data placed before. */
  good(command: WireRequest, fields: Partial<PduFields> = {}): void {
    const at = this.commands.indexOf(command);
    if (at >= 0) this.commands.splice(at, 1);
    this.send({ opcode: Opcode.scsiResponse, itt: command.itt, ttt: 0, ...fields });
  }

  /** Nothing reaches the initiator any more. */
  abstract readonly closed: boolean;

  /** Answers everything that has come as a polite target does: logins, pings, commands (writes without a look at their data). */
  serve(): void {
    if (this.closed) return;
    for (const { opcode, itt, ...request } of this.take()) {
      if (opcode === Opcode.loginRequest)
        this.login(undefined, undefined, { opcode, itt, ...request });
      else if (opcode === Opcode.nopOut && itt !== noTag) this.send({ opcode: Opcode.nopIn, itt });
      else if (opcode === Opcode.taskManagementRequest)
        this.send({ opcode: Opcode.taskManagementResponse, itt });
      else if (opcode === Opcode.logoutRequest) this.send({ opcode: Opcode.logoutResponse, itt });
    }
    for (const command of [...this.commands]) {
      if ((command.flags & readFlag) !== 0) {
        this.place(command, new Uint8Array(command.word20).fill(servedByte));
      }
      this.good(command);
    }
  }

  /** Answers pings and nothing else. */
  pong(): void {
    for (const { opcode, itt } of this.take()) {
      if (opcode === Opcode.nopOut && itt !== noTag) this.send({ opcode: Opcode.nopIn, itt });
    }
  }
}

export class TcpWireTarget extends WireTarget {
  readonly rdma = false;
  readonly peer: FakeStreamPeer;
  #received = new Uint8Array(0);

  constructor(peer: FakeStreamPeer) {
    super();
    this.peer = peer;
  }

  get closed(): boolean {
    return this.peer.closed || this.peer.ended;
  }

  raw(bytes: Uint8Array): void {
    this.peer.write(bytes);
  }

  close(): void {
    this.peer.close();
  }

  stall(): void {
    this.peer.pauseReading();
  }

  place(command: WireRequest, bytes: Uint8Array, offset = 0): void {
    this.send({
      opcode: Opcode.dataIn,
      itt: command.itt,
      bufferOffset: offset,
      data: bytes,
    });
  }

  protected fetch(): WireRequest[] {
    this.#received = Uint8Array.from(Buffer.concat([this.#received, this.peer.take()]));
    const { headerDigest, dataDigest } = this.framing;
    const requests: WireRequest[] = [];
    let at = 0;
    while (this.#received.length - at >= 48) {
      const length = new DataView(this.#received.buffer).getUint32(at + 4) & 0xffffff;
      const dataAt = at + 48 + (headerDigest === true ? 4 : 0);
      const dataEnd = dataAt + length + (-length & 3);
      const end = dataEnd + (dataDigest === true && length > 0 ? 4 : 0);
      if (end > this.#received.length) break;
      const bhs = this.#received.slice(at, at + 48);
      requests.push(requestOf(bhs, this.#received.slice(dataAt, dataAt + length)));
      at = end;
    }
    this.#received = this.#received.slice(at);
    return requests;
  }
}

export class IserWireTarget extends WireTarget {
  readonly rdma = true;
  readonly peer: FakeRdmaPeer;

  constructor(peer: FakeRdmaPeer) {
    super();
    this.peer = peer;
  }

  get closed(): boolean {
    return this.peer.queuePairState !== 'ready';
  }

  raw(bytes: Uint8Array): void {
    this.peer.send(bytes);
  }

  close(): void {
    this.peer.disconnect();
  }

  stall(): void {
    this.peer.blackHole = true;
  }

  place(command: WireRequest, bytes: Uint8Array, offset = 0): void {
    this.peer.rdmaWrite(command.readStag, command.readAddress + BigInt(offset), bytes);
  }

  protected fetch(): WireRequest[] {
    return this.peer.sends.splice(0).map((message) => {
      const view = new DataView(message.buffer, message.byteOffset, message.length);
      const bhs = message.slice(iserHeaderLength, iserHeaderLength + 48);
      return {
        ...requestOf(bhs, message.slice(iserHeaderLength + 48)),
        writeStag: view.getUint32(4),
        writeAddress: view.getBigUint64(8),
        readStag: view.getUint32(16),
        readAddress: view.getBigUint64(20),
      };
    });
  }
}

function requestOf(bhs: Uint8Array, data: Uint8Array): WireRequest {
  const view = new DataView(bhs.buffer, bhs.byteOffset, bhs.length);
  return {
    opcode: bhs[0] & 0x3f,
    immediate: (bhs[0] & 0x40) !== 0,
    flags: bhs[1],
    lun: view.getBigUint64(8),
    itt: view.getUint32(16),
    word20: view.getUint32(20),
    cmdSn: view.getUint32(24),
    bhs,
    data,
    readStag: 0,
    readAddress: 0n,
    writeStag: 0,
    writeAddress: 0n,
  };
}
