/** The answers of a target, made by hand from RFC 7143's layouts, with the sequence numbers that a target keeps. */
import type { FakeTransport, SentPdu } from './fake-transport.ts';
import { politeKeys } from './scripted-pdu.ts';

export interface LoginAnswer {
  readonly keys?: readonly string[];
  readonly replace?: Readonly<Record<string, string>>;
  readonly statusClass?: number;
  readonly statusDetail?: number;
  readonly text?: string;
}

export interface ScsiAnswerFields {
  readonly status?: number;
  readonly response?: number;
  /** 0x04 overflow, 0x02 underflow. */
  readonly flags?: number;
  readonly residual?: number;
  readonly sense?: readonly number[];
  /** Bytes that the target has placed; all by default. */
  readonly placed?: number;
}

export class ScriptedTarget {
  readonly transport: FakeTransport;
  statSn = 100;
  /** How far the window reaches beyond the last command that was answered or seen. */
  window = 64;
  /** Overrides the computed MaxCmdSN. */
  maxCmdSn: number | undefined;
  expCmdSn = 0;
  #seen = 0;

  constructor(transport: FakeTransport) {
    this.transport = transport;
  }

  /** Requests that the test has not looked at yet. */
  take(): SentPdu[] {
    const fresh = this.transport.sent.slice(this.#seen);
    this.#seen = this.transport.sent.length;
    for (const pdu of fresh) {
      if (pdu.opcode === 0x03) this.expCmdSn = pdu.cmdSn;
      else if (!pdu.immediate) this.expCmdSn = (pdu.cmdSn + 1) >>> 0;
    }
    return fresh;
  }

  takeOne(): SentPdu {
    const fresh = this.take();
    if (fresh.length !== 1) throw new Error(`${fresh.length} PDUs instead of one`);
    return fresh[0];
  }

  /** Only SCSI commands. */
  takeCommands(): SentPdu[] {
    return this.take().filter(({ opcode }) => opcode === 0x01);
  }

  bhs(opcode: number, flags: number, itt: number, ownStatus = true): Uint8Array {
    const bytes = new Uint8Array(48);
    const view = new DataView(bytes.buffer);
    bytes[0] = opcode;
    bytes[1] = flags;
    view.setUint32(16, itt);
    view.setUint32(20, 0xffffffff);
    view.setUint32(24, this.statSn);
    if (ownStatus) this.statSn = (this.statSn + 1) >>> 0;
    view.setUint32(28, this.expCmdSn);
    view.setUint32(32, this.maxCmdSn ?? (this.expCmdSn + this.window - 1) >>> 0);
    return bytes;
  }

  /** Accepts the connection and answers the one login request of the initiator. */
  login(answer: LoginAnswer = {}): SentPdu {
    this.transport.events.onConnected();
    return this.answerLogin(answer);
  }

  answerLogin(answer: LoginAnswer = {}): SentPdu {
    const request = this.takeOne();
    const bytes = this.bhs(0x23, 0x87, request.itt);
    const view = new DataView(bytes.buffer);
    bytes.set(request.bhs.subarray(8, 14), 8);
    view.setUint16(14, 7);
    bytes[36] = answer.statusClass ?? 0;
    bytes[37] = answer.statusDetail ?? 0;
    // The first window is one command (RFC 7143 §4.2.2.1 leaves it to the target; both of ours do so).
    view.setUint32(32, this.maxCmdSn ?? request.cmdSn);
    const usual = answer.keys ?? politeKeys(this.transport.capabilities.rdma);
    const keys = usual.map((pair) => {
      const key = pair.split('=')[0];
      const other = answer.replace?.[key];
      return other === undefined ? pair : `${key}=${other}`;
    });
    const text = answer.text ?? (bytes[36] === 0 ? keys.map((pair) => `${pair}\0`).join('') : '');
    this.transport.deliver(bytes, new TextEncoder().encode(text));
    return request;
  }

  /** Status of a command; GOOD by default. */
  answer(command: SentPdu, fields: ScsiAnswerFields = {}): void {
    const bytes = this.bhs(0x21, 0x80 | (fields.flags ?? 0), command.itt);
    bytes[2] = fields.response ?? 0;
    bytes[3] = fields.status ?? 0;
    new DataView(bytes.buffer).setUint32(44, fields.residual ?? 0);
    const sense = fields.sense ?? [];
    const data = sense.length === 0 ? [] : [sense.length >> 8, sense.length & 0xff, ...sense];
    this.transport.pdus.readPlaced[command.slot] = fields.placed ?? command.readLength;
    this.transport.deliver(bytes, Uint8Array.from(data));
  }

  checkCondition(command: SentPdu, key: number, asc: number, ascq: number): void {
    const sense = new Array<number>(18).fill(0);
    sense[0] = 0x70;
    sense[2] = key;
    sense[7] = 10;
    sense[12] = asc;
    sense[13] = ascq;
    this.answer(command, { status: 2, sense });
  }

  /** Data-In with the S bit. */
  answerWithData(command: SentPdu, placed: number): void {
    const bytes = this.bhs(0x25, 0x81, command.itt);
    this.transport.pdus.readPlaced[command.slot] = placed;
    this.transport.deliver(bytes);
  }

  pong(ping: SentPdu): void {
    this.transport.deliver(this.bhs(0x20, 0x80, ping.itt));
  }

  /** An unsolicited NOP-In; with a TTT it wants an answer. */
  nopIn(targetTransferTag = 0xffffffff, lun = 0n): void {
    const bytes = this.bhs(0x20, 0x80, 0xffffffff, false);
    const view = new DataView(bytes.buffer);
    view.setUint32(20, targetTransferTag);
    view.setBigUint64(8, lun);
    this.transport.deliver(bytes);
  }

  taskManagementResponse(request: SentPdu, response: number): void {
    const bytes = this.bhs(0x22, 0x80, request.itt);
    bytes[2] = response;
    this.transport.deliver(bytes);
  }

  logoutResponse(request: SentPdu, time2Wait = 0): void {
    const bytes = this.bhs(0x26, 0x80, request.itt);
    new DataView(bytes.buffer).setUint16(40, time2Wait);
    this.transport.deliver(bytes);
  }

  reject(refused: Uint8Array, reason: number): void {
    const bytes = this.bhs(0x3f, 0x80, 0xffffffff);
    bytes[2] = reason;
    this.transport.deliver(bytes, refused);
  }

  asyncMessage(
    event: number,
    parameters: readonly number[] = [],
    sense: readonly number[] = [],
  ): void {
    const bytes = this.bhs(0x32, 0x80, 0xffffffff);
    const view = new DataView(bytes.buffer);
    bytes[36] = event;
    parameters.forEach((value, i) => {
      view.setUint16(38 + 2 * i, value);
    });
    const data = sense.length === 0 ? [] : [0, sense.length, ...sense];
    this.transport.deliver(bytes, Uint8Array.from(data));
  }

  textResponse(request: SentPdu, text: string, flags = 0x80, targetTransferTag = 0xffffffff): void {
    const bytes = this.bhs(0x24, flags, request.itt);
    new DataView(bytes.buffer).setUint32(20, targetTransferTag);
    this.transport.deliver(bytes, new TextEncoder().encode(text));
  }
}
