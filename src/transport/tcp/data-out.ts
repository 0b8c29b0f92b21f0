/**
 * SCSI Data-Out (RFC 7143 §11.7): sequences that answer an R2T (§11.8), or carry the unsolicited first burst (§13.10, §13.14).
 *
 * Sequences are served in the order in which they came, which also keeps unsolicited data in the order of its commands
 * (§4.2.5.2). How much is with the kernel at a time is bounded by the number of Data-Out headers.
 *
 * Data-Out: byte 1 F; 8-15 LUN; 16-19 ITT; 20-23 TTT; 28-31 ExpStatSN; 36-39 DataSN; 40-43 Buffer Offset.
 */
import { assert } from '../../errors.ts';
import type { ArenaMemory } from '../../reactor/reactor.ts';
import { BhsField, bhsLength, finalBit, Opcode, reservedTag } from '../../wire/bhs.ts';
import { refuse } from '../inbound.ts';
import type { PduSlots } from '../pdu-slots.ts';
import type { FullFeatureParameters } from '../transport.ts';
import { headerRoom, type PduSender } from './pdu-sender.ts';

/** Data-Out PDUs that may be on their way to the kernel. */
export const dataOutHeaders = 64;
/** Tags of Data-Out sends start here; below are the tags of PDU slots. */
export const dataOutTagBase = 0x10000;

/** Whatever MaxOutstandingR2T (§13.17) was agreed: the ring stays small. */
const maxR2tsPerTask = 16;

const cancelled = -1;

export class DataOutQueue {
  readonly #arena: ArenaMemory;
  readonly #slots: PduSlots;
  readonly #sender: PduSender;
  readonly #parameters: FullFeatureParameters;
  /** Ring of sequences still to be sent, oldest at #head. */
  readonly #capacity: number;
  readonly #pdu: Int32Array;
  readonly #targetTransferTag: Uint32Array;
  readonly #bufferOffset: Uint32Array;
  readonly #remaining: Uint32Array;
  readonly #dataSn: Uint32Array;
  #head = 0;
  #count = 0;
  /** Per PDU slot. */
  readonly #expectedR2tSn: Uint32Array;
  readonly #outstandingR2t: Uint32Array;
  /** Sequences of the slot in the ring. */
  readonly #pending: Uint32Array;
  /** Per Data-Out header: the PDU slot whose data it carries; free headers by index. */
  readonly #headers: number;
  readonly #headerPdu: Int32Array;
  readonly #freeHeaders: Int32Array;
  #freeHeaderCount = dataOutHeaders;
  /** What the next Data-Out acknowledges: the ExpStatSN of the session's latest request. */
  expStatSn = 0;
  /** While true nothing new is handed to the kernel. */
  paused = false;

  constructor(
    arena: ArenaMemory,
    slots: PduSlots,
    sender: PduSender,
    parameters: FullFeatureParameters,
    headers: number,
  ) {
    const pduCapacity = slots.pdus.capacity;
    this.#arena = arena;
    this.#slots = slots;
    this.#sender = sender;
    this.#parameters = parameters;
    this.#headers = headers;
    this.#capacity = pduCapacity * (Math.min(parameters.maxOutstandingR2t, maxR2tsPerTask) + 1);
    this.#pdu = new Int32Array(this.#capacity);
    this.#targetTransferTag = new Uint32Array(this.#capacity);
    this.#bufferOffset = new Uint32Array(this.#capacity);
    this.#remaining = new Uint32Array(this.#capacity);
    this.#dataSn = new Uint32Array(this.#capacity);
    this.#expectedR2tSn = new Uint32Array(pduCapacity);
    this.#outstandingR2t = new Uint32Array(pduCapacity);
    this.#pending = new Uint32Array(pduCapacity);
    this.#headerPdu = new Int32Array(dataOutHeaders).fill(-1);
    this.#freeHeaders = Int32Array.from({ length: dataOutHeaders }, (_, i) => i);
  }

  /** Data-Out PDUs handed over and not yet with the kernel. */
  get inFlight(): number {
    return dataOutHeaders - this.#freeHeaderCount;
  }

  /**
   * Bytes of unsolicited Data-Out that must follow a write command whose PDU carries `immediateLength` bytes: up to
   * FirstBurstLength altogether (RFC 7143 §13.14).
   */
  unsolicitedLength(writeLength: number, immediateLength: number): number {
    if (this.#parameters.initialR2t) return 0;
    return Math.max(0, Math.min(writeLength, this.#parameters.firstBurstLength) - immediateLength);
  }

  /** A SCSI command has been queued in this slot; `unsolicited` bytes follow its `immediate` ones. */
  start(pdu: number, immediate: number, unsolicited: number): void {
    this.#expectedR2tSn[pdu] = 0;
    this.#outstandingR2t[pdu] = 0;
    if (unsolicited > 0) this.#push(pdu, reservedTag, immediate, unsolicited);
  }

  /** Checks the R2T at `bhsOffset` and queues the sequence it asks for. */
  acceptR2t(pdu: number, bhsOffset: number, dataSegmentLength: number): void {
    const { view } = this.#arena;
    const writeLength = this.#slots.pdus.writeLength[pdu];
    if (writeLength === 0) throw refuse('R2T for a command that writes nothing');
    if (dataSegmentLength !== 0)
      throw refuse(`R2T with a data segment of ${dataSegmentLength} bytes, the limit is 0`);
    const r2tSn = view.getUint32(bhsOffset + BhsField.dataSn);
    if (r2tSn !== this.#expectedR2tSn[pdu])
      throw refuse(`R2TSN ${r2tSn}, expected ${this.#expectedR2tSn[pdu]}`);
    const targetTransferTag = view.getUint32(bhsOffset + BhsField.targetTransferTag);
    if (targetTransferTag === reservedTag) throw refuse('R2T without a TargetTransferTag');
    const offset = view.getUint32(bhsOffset + BhsField.bufferOffset);
    const length = view.getUint32(bhsOffset + BhsField.desiredDataTransferLength);
    const { maxBurstLength, maxOutstandingR2t } = this.#parameters;
    if (length === 0 || length > maxBurstLength)
      throw refuse(
        `DesiredDataTransferLength ${length} of an R2T is not within 1 and MaxBurstLength ${maxBurstLength}`,
      );
    if (offset + length > writeLength)
      throw refuse(
        `BufferOffset ${offset} + DesiredDataTransferLength ${length} of an R2T exceed the expected transfer of ${writeLength} bytes`,
      );
    if (this.#outstandingR2t[pdu] >= Math.min(maxOutstandingR2t, maxR2tsPerTask))
      throw refuse(`more R2Ts outstanding than MaxOutstandingR2T ${maxOutstandingR2t}`);
    this.#expectedR2tSn[pdu] = (r2tSn + 1) >>> 0;
    this.#outstandingR2t[pdu]++;
    this.#push(pdu, targetTransferTag, offset, length);
  }

  /** Drops what has not been handed over for this slot: its task is over. */
  cancel(pdu: number): void {
    if (this.#pending[pdu] === 0) return;
    this.#pending[pdu] = 0;
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#head + i) % this.#capacity;
      if (this.#pdu[at] === pdu) this.#pdu[at] = cancelled;
    }
    this.#compact();
  }

  /** Hands over Data-Out PDUs as long as there are sequences and headers. */
  pump(): void {
    while (this.#count > 0 && this.#freeHeaderCount > 0 && !this.paused) this.#sendNext();
  }

  /** The Data-Out with this tag is with the kernel; returns the PDU slot that it belonged to. */
  sent(tag: number): number {
    const header = tag - dataOutTagBase;
    const pdu = this.#headerPdu[header];
    assert(pdu >= 0, 'Data-Out completion without a Data-Out');
    this.#headerPdu[header] = -1;
    this.#freeHeaders[this.#freeHeaderCount++] = header;
    return pdu;
  }

  #sendNext(): void {
    const at = this.#head;
    const pdu = this.#pdu[at];
    const remaining = this.#remaining[at];
    const length = Math.min(remaining, this.#parameters.maxSendDataSegmentLength);
    const offset = this.#bufferOffset[at];
    const header = this.#freeHeaders[--this.#freeHeaderCount];
    const bhs = this.#headers + header * headerRoom;
    this.#headerPdu[header] = pdu;
    this.#writeBhs(bhs, at, length === remaining);
    this.#slots.beginSend(pdu);
    this.#sender.send(
      dataOutTagBase + header,
      bhs,
      this.#slots.pdus.writeOffset[pdu] + offset,
      length,
    );
    this.#bufferOffset[at] = offset + length;
    this.#remaining[at] = remaining - length;
    this.#dataSn[at]++;
    if (length === remaining) this.#shift(at, pdu);
  }

  #writeBhs(bhs: number, at: number, final: boolean): void {
    const { bytes, view } = this.#arena;
    const command = this.#slots.pdus.bhsOffset[this.#pdu[at]];
    const targetTransferTag = this.#targetTransferTag[at];
    bytes.fill(0, bhs, bhs + bhsLength);
    bytes[bhs + BhsField.opcode] = Opcode.dataOut;
    bytes[bhs + BhsField.flags] = final ? finalBit : 0;
    // §11.7.4: the LUN goes with a Target Transfer Tag, else the field is reserved
    if (targetTransferTag !== reservedTag)
      bytes.copyWithin(bhs + BhsField.lun, command + BhsField.lun, command + BhsField.lun + 8);
    view.setUint32(
      bhs + BhsField.initiatorTaskTag,
      view.getUint32(command + BhsField.initiatorTaskTag),
    );
    view.setUint32(bhs + BhsField.targetTransferTag, targetTransferTag);
    view.setUint32(bhs + BhsField.expStatSn, this.expStatSn);
    view.setUint32(bhs + BhsField.dataSn, this.#dataSn[at]);
    view.setUint32(bhs + BhsField.bufferOffset, this.#bufferOffset[at]);
  }

  #push(pdu: number, targetTransferTag: number, offset: number, length: number): void {
    assert(this.#count < this.#capacity, 'room in the Data-Out queue');
    const at = (this.#head + this.#count) % this.#capacity;
    this.#pdu[at] = pdu;
    this.#targetTransferTag[at] = targetTransferTag;
    this.#bufferOffset[at] = offset;
    this.#remaining[at] = length;
    this.#dataSn[at] = 0;
    this.#pending[pdu]++;
    this.#count++;
  }

  #shift(at: number, pdu: number): void {
    if (this.#targetTransferTag[at] !== reservedTag) this.#outstandingR2t[pdu]--;
    this.#pending[pdu]--;
    this.#head = (at + 1) % this.#capacity;
    this.#count--;
  }

  /** Closes the gaps that `cancel` has left; rare, so a pass over the ring is cheap enough. */
  #compact(): void {
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      const from = (this.#head + i) % this.#capacity;
      if (this.#pdu[from] === cancelled) continue;
      const to = (this.#head + kept++) % this.#capacity;
      this.#pdu[to] = this.#pdu[from];
      this.#targetTransferTag[to] = this.#targetTransferTag[from];
      this.#bufferOffset[to] = this.#bufferOffset[from];
      this.#remaining[to] = this.#remaining[from];
      this.#dataSn[to] = this.#dataSn[from];
    }
    this.#count = kept;
  }
}
