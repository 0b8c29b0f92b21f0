import { assert } from '../errors.ts';
import { bhsLength } from '../wire/bhs.ts';
import { PduTable } from './pdu-table.ts';

/**
 * The life of a PDU slot below the seam. A slot is free when the session has freed it *and* none of its sends is still on its
 * way to the kernel or the device: until then its header and its data segment are read by somebody else.
 *
 *   open -> queued (beginSend/endSend any number of times) -> answered -> freed by the session -> no sends left: free
 *
 * An answered slot may be queued again (login and text exchanges keep their tag); one that gets no answer is freed at once.
 */
export class PduSlots {
  readonly pdus: PduTable;
  /** Sends handed to the reactor and not yet reported. */
  readonly #sends: Uint32Array;
  readonly #queued: Uint8Array;
  readonly #freed: Uint8Array;
  /** newPdu has answered -1 since the last onWritable. */
  starved = false;

  constructor(capacity: number) {
    this.pdus = new PduTable(capacity);
    this.#sends = new Uint32Array(capacity);
    this.#queued = new Uint8Array(capacity);
    this.#freed = new Uint8Array(capacity);
  }

  /** Gives every slot its place for a BHS: `first` + slot * `stride`, arena offsets. */
  placeHeaders(first: number, stride: number): void {
    for (let pdu = 0; pdu < this.pdus.capacity; pdu++)
      this.pdus.bhsOffset[pdu] = first + pdu * stride;
  }

  /** A slot with a zeroed BHS, or -1. */
  open(bytes: Uint8Array): number {
    const pdu = this.pdus.allocate();
    if (pdu < 0) {
      this.starved = true;
      return -1;
    }
    this.#sends[pdu] = 0;
    this.#queued[pdu] = 0;
    this.#freed[pdu] = 0;
    const bhs = this.pdus.bhsOffset[pdu];
    bytes.fill(0, bhs, bhs + bhsLength);
    return pdu;
  }

  queue(pdu: number): void {
    assert(this.#queued[pdu] === 0 && this.#freed[pdu] === 0, 'PDU queued twice or after freePdu');
    this.#queued[pdu] = 1;
  }

  /** The answer is being delivered: there will be no other one, and the session may queue the slot again. */
  answered(pdu: number): void {
    this.#queued[pdu] = 0;
  }

  beginSend(pdu: number): void {
    this.#sends[pdu]++;
  }

  /** One send is done; true when that made the slot free. */
  endSend(pdu: number): boolean {
    assert(this.#sends[pdu] > 0, 'send completion without a send');
    this.#sends[pdu]--;
    return this.#releaseWhenDone(pdu);
  }

  /** The session is done with the slot; true when that made it free. */
  free(pdu: number): boolean {
    assert(this.#freed[pdu] === 0, 'PDU slot freed twice');
    this.#freed[pdu] = 1;
    return this.#releaseWhenDone(pdu);
  }

  isSending(pdu: number): boolean {
    return this.#sends[pdu] > 0;
  }

  isFreed(pdu: number): boolean {
    return this.#freed[pdu] === 1;
  }

  /** The slot that a peer's PDU with this tag may speak about: queued, not answered and not freed; or -1. */
  findQueued(itt: number): number {
    const pdu = this.pdus.find(itt);
    return pdu >= 0 && this.#queued[pdu] === 1 && this.#freed[pdu] === 0 ? pdu : -1;
  }

  #releaseWhenDone(pdu: number): boolean {
    if (this.#freed[pdu] === 0 || this.#sends[pdu] > 0) return false;
    this.pdus.release(pdu);
    return true;
  }
}
