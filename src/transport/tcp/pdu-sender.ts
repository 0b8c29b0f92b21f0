/**
 * One PDU on a byte stream (RFC 7143 §11): BHS, header digest, data segment, 0 to 3 bytes of padding, data digest. The data
 * goes out from where it lies; header and trailer lie in the PDU's own header room:
 *
 *   0  BHS   48  header digest   52  trailer: padding, then data digest (at most 7 bytes)   60  unused
 */
import type { ObjectId, Reactor } from '../../reactor/reactor.ts';
import { bhsLength, paddingOf, setDataSegmentLength } from '../../wire/bhs.ts';
import { crc32c, setDigest } from '../../wire/crc32c.ts';

/** Bytes of arena per outbound header. */
export const headerRoom = 64;
export const digestLength = 4;
const trailerOffset = bhsLength + digestLength;

export class PduSender {
  readonly #reactor: Reactor;
  readonly #stream: ObjectId;
  headerDigest = false;
  dataDigest = false;

  constructor(reactor: Reactor, stream: ObjectId) {
    this.#reactor = reactor;
    this.#stream = stream;
  }

  /**
   * Sends the BHS at `header` (start of a header room) with the given data segment. Exactly one success is reported for `tag`, when
   * the last byte is with the kernel.
   */
  send(tag: number, header: number, dataOffset: number, dataLength: number): void {
    const { bytes, view } = this.#reactor.arena;
    setDataSegmentLength(view, header, dataLength);
    let headerLength = bhsLength;
    if (this.headerDigest) {
      setDigest(view, header + bhsLength, crc32c(bytes, header, bhsLength));
      headerLength += digestLength;
    }
    const trailerLength = this.#writeTrailer(header + trailerOffset, dataOffset, dataLength);
    const whole = trailerLength === 0;
    this.#reactor.send(this.#stream, tag, header, headerLength, dataOffset, dataLength, whole);
    if (!whole)
      this.#reactor.send(this.#stream, tag, header + trailerOffset, trailerLength, 0, 0, true);
  }

  /** Padding and data digest; returns their length. */
  #writeTrailer(trailer: number, dataOffset: number, dataLength: number): number {
    if (dataLength === 0) return 0;
    const { bytes, view } = this.#reactor.arena;
    const padding = paddingOf(dataLength);
    bytes.fill(0, trailer, trailer + padding);
    if (!this.dataDigest) return padding;
    const crc = crc32c(bytes, trailer, padding, crc32c(bytes, dataOffset, dataLength));
    setDigest(view, trailer + padding, crc);
    return padding + digestLength;
  }
}
