/**
 * Which registration each PDU slot holds: what makes its data reachable for the target (STag) or for our own SEND (lkey). One
 * per PDU, because a command moves data in one direction.
 */
import {
  notRegistered,
  RegistrationAccess,
  type RegistrationStrategy,
} from '../../memory/registration.ts';
import type { PduTable } from '../pdu-table.ts';

const none = -1;

export class StagTable {
  readonly #strategy: RegistrationStrategy;
  readonly #pdus: PduTable;
  readonly #registration: Float64Array;

  constructor(strategy: RegistrationStrategy, pdus: PduTable) {
    this.#strategy = strategy;
    this.#pdus = pdus;
    this.#registration = new Float64Array(pdus.capacity).fill(none);
  }

  /**
   * Registers what the PDU needs; false when that must wait until something is released. A write is asked for as remoteRead even
   * when all of it is immediate: its buffer will be solicited from another time. Text and ping data is for our own SEND only.
   */
  acquire(pdu: number): boolean {
    const { readOffset, readLength, writeOffset, writeLength } = this.#pdus;
    const { dataSegmentOffset, dataSegmentLength } = this.#pdus;
    const { localWrite, remoteRead, remoteWrite } = RegistrationAccess;
    if (readLength[pdu] > 0)
      return this.#hold(pdu, readOffset[pdu], readLength[pdu], localWrite | remoteWrite);
    if (writeLength[pdu] > 0)
      return this.#hold(pdu, writeOffset[pdu], writeLength[pdu], remoteRead);
    if (dataSegmentLength[pdu] > 0)
      return this.#hold(pdu, dataSegmentOffset[pdu], dataSegmentLength[pdu], 0);
    return true;
  }

  /** Ends the slot's registration; `writtenLength` bytes of read data are valid. */
  release(pdu: number, writtenLength: number): void {
    const registration = this.#registration[pdu];
    if (registration === none) return;
    this.#registration[pdu] = none;
    this.#strategy.release(registration, writtenLength);
  }

  /** Only after the queue pair is destroyed: nothing can be written any more. */
  releaseAll(): void {
    for (let pdu = 0; pdu < this.#pdus.capacity; pdu++) this.release(pdu, 0);
  }

  /** Local key for the slot's data segment; 0 when it holds no registration. */
  lkey(pdu: number): number {
    const registration = this.#registration[pdu];
    return registration === none ? 0 : this.#strategy.lkey(registration);
  }

  rkey(pdu: number): number {
    return this.#strategy.rkey(this.#registration[pdu]);
  }

  /** Where the device finds what the slot has at arena offset `offset`. */
  deviceOffset(pdu: number, offset: number): number {
    return this.#strategy.deviceOffset(this.#registration[pdu], offset);
  }

  #hold(pdu: number, offset: number, length: number, access: number): boolean {
    const registration = this.#strategy.acquire(offset, length, access);
    if (registration === notRegistered) return false;
    this.#registration[pdu] = registration;
    return true;
  }
}
