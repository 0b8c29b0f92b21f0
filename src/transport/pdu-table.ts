import { assert } from '../errors.ts';

/**
 * Outbound PDUs as preallocated columns, owned by one transport and filled in by the session. A PDU slot lives from `newPdu`
 * to `freePdu`; for a SCSI command that is the life of the task on this connection.
 *
 * The Initiator Task Tag of a slot is (generation << indexBits) | index, so that a late response is recognised; it is never
 * 0xffffffff (RFC 7143 §11.2.1.8, reserved).
 */
export const pduIndexBits = 12;
const indexMask = (1 << pduIndexBits) - 1;
const generationLimit = 1 << (32 - pduIndexBits);

export class PduTable {
  readonly capacity: number;
  /** Arena offset of the 48-byte BHS that the session writes. */
  readonly bhsOffset: Uint32Array;
  /** Arena range sent with the PDU as its data segment: immediate data, text or ping data. Length 0: none. */
  readonly dataSegmentOffset: Uint32Array;
  readonly dataSegmentLength: Uint32Array;
  /** Arena range that receives SCSI read data. Length 0: the command reads nothing. */
  readonly readOffset: Uint32Array;
  readonly readLength: Uint32Array;
  /** Arena range of all SCSI write data, immediate bytes included. Length 0: the command writes nothing. */
  readonly writeOffset: Uint32Array;
  readonly writeLength: Uint32Array;
  /** Set by the transport before onPdu of the final response: bytes of read data that the target really placed. */
  readonly readPlaced: Uint32Array;
  readonly #generation: Uint32Array;
  readonly #live: Uint8Array;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number) {
    assert(capacity > 0 && capacity <= 1 << pduIndexBits, 'PDU table capacity');
    this.capacity = capacity;
    this.bhsOffset = new Uint32Array(capacity);
    this.dataSegmentOffset = new Uint32Array(capacity);
    this.dataSegmentLength = new Uint32Array(capacity);
    this.readOffset = new Uint32Array(capacity);
    this.readLength = new Uint32Array(capacity);
    this.writeOffset = new Uint32Array(capacity);
    this.writeLength = new Uint32Array(capacity);
    this.readPlaced = new Uint32Array(capacity);
    this.#generation = new Uint32Array(capacity);
    this.#live = new Uint8Array(capacity);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  get available(): number {
    return this.#freeCount;
  }

  /** A cleared slot with a new tag, or -1. */
  allocate(): number {
    if (this.#freeCount === 0) return -1;
    const pdu = this.#free[--this.#freeCount];
    this.#generation[pdu] = (this.#generation[pdu] + 1) % (generationLimit - 1);
    this.#live[pdu] = 1;
    this.dataSegmentLength[pdu] = 0;
    this.readLength[pdu] = 0;
    this.writeLength[pdu] = 0;
    this.readPlaced[pdu] = 0;
    return pdu;
  }

  release(pdu: number): void {
    assert(this.#live[pdu] === 1, 'PDU slot freed twice');
    this.#live[pdu] = 0;
    this.#free[this.#freeCount++] = pdu;
  }

  /** The Initiator Task Tag that belongs in the slot's BHS. */
  itt(pdu: number): number {
    return ((this.#generation[pdu] << pduIndexBits) | pdu) >>> 0;
  }

  /** The live slot with this tag, or -1: a peer's tag is never trusted. */
  find(itt: number): number {
    const pdu = itt & indexMask;
    return pdu < this.capacity && this.#live[pdu] === 1 && this.itt(pdu) === itt ? pdu : -1;
  }
}
