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
  // LIO asks about every key that it is not told of.
  'InitialR2T=Yes',
  'ImmediateData=No',
  'MaxRecvDataSegmentLength=8192',
  'MaxBurstLength=262144',
  'FirstBurstLength=65536',
  'MaxOutstandingR2T=1',
  'DataPDUInOrder=Yes',
  'DataSequenceInOrder=Yes',
  'DefaultTime2Wait=0',
  'DefaultTime2Retain=0',
  'IFMarker=No',
  'OFMarker=No',
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
    const accepted = await login(socket, pdus, targetName);

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

/** Straight from the operational to the full feature phase, as soon as the target has said what it has to say. */
async function login(socket: Socket, pdus: PduReader, targetName: string): Promise<Buffer> {
  let text = Buffer.from(loginKeys(targetName).join('\0') + '\0');
  let expStatSn = 0;
  for (let round = 0; round < 4; round++) {
    const request = bhs(0x43, 0x87);
    request.writeUIntBE(text.length, 5, 3);
    request.writeUInt8(0x80, 8);
    request.writeUInt8(0x77, 13);
    request.writeUInt32BE(1, 24);
    request.writeUInt32BE(expStatSn, 28);
    socket.write(Buffer.concat([request, text, Buffer.alloc(-text.length & 3)]));
    const answer = await pdus.next();
    if (answer[0] !== 0x23 || answer[36] !== 0)
      throw new Error(`login: ${answer.subarray(0, bhsLength).toString('hex')}`);
    if ((answer[1] & 0x83) === 0x83) return answer;
    text = Buffer.alloc(0);
    expStatSn = answer.readUInt32BE(24) + 1;
  }
  throw new Error('login: the target does not come to an end');
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
