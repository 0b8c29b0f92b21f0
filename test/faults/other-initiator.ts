/** Another initiator, made of bytes: it logs in over TCP, resets a logical unit (RFC 7143 §11.5) and goes. */
import { createConnection, type Socket } from 'node:net';

const bhsLength = 48;
const loginKeys = (targetName: string): readonly string[] => [
  'InitiatorName=iqn.2026-11.iserd.test:other',
  `TargetName=${targetName}`,
  'SessionType=Normal',
  'HeaderDigest=None',
  'DataDigest=None',
  'ErrorRecoveryLevel=0',
  'MaxConnections=1',
];

function bhs(opcode: number, flags: number): Buffer {
  const pdu = Buffer.alloc(bhsLength);
  pdu[0] = opcode;
  pdu[1] = flags;
  return pdu;
}

/** Rejects when the target refuses the login or the function. */
export async function resetLogicalUnit(
  portal: { readonly host: string; readonly port: number },
  targetName: string,
  lun: number,
): Promise<void> {
  const socket = createConnection(portal);
  const pdus = new PduReader(socket);
  try {
    const text = Buffer.from(loginKeys(targetName).join('\0') + '\0');
    // Immediate login request, straight from the operational to the full feature phase.
    const login = bhs(0x43, 0x87);
    login.writeUIntBE(text.length, 5, 3);
    login.writeUInt8(0x80, 8);
    login.writeUInt8(0x77, 13);
    login.writeUInt32BE(1, 24);
    socket.write(Buffer.concat([login, text, Buffer.alloc(-text.length & 3)]));
    const accepted = await pdus.next();
    if (accepted[0] !== 0x23 || accepted[36] !== 0 || (accepted[1] & 0x83) !== 0x83)
      throw new Error(`login: ${accepted.subarray(0, bhsLength).toString('hex')}`);

    const request = bhs(0x42, 0x80 | 5);
    request.writeUInt16BE(lun, 8);
    request.writeUInt32BE(2, 16);
    request.writeUInt32BE(0xffffffff, 20);
    request.writeUInt32BE(1, 24);
    request.writeUInt32BE(accepted.readUInt32BE(24) + 1, 28);
    socket.write(request);
    for (;;) {
      const answer = await pdus.next();
      if (answer[0] !== 0x22) continue;
      if (answer[2] !== 0) throw new Error(`LOGICAL UNIT RESET was answered with ${answer[2]}`);
      return;
    }
  } finally {
    socket.destroy();
  }
}

class PduReader {
  #received = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    // What matters is 'close', which follows.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  async next(): Promise<Buffer> {
    for (;;) {
      if (this.#received.length >= bhsLength) {
        const dataLength = this.#received.readUIntBE(5, 3);
        const length = bhsLength + this.#received[4] * 4 + dataLength + (-dataLength & 3);
        if (this.#received.length >= length) {
          const pdu = this.#received.subarray(0, length);
          this.#received = this.#received.subarray(length);
          return pdu;
        }
      }
      if (this.#ended) throw new Error('the target has closed the connection');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
