/**
 * The one place where a target's PDU is checked before it has any effect, shared by both datamovers. What only one of them
 * knows on the wire (Data-In and R2T on TCP, lengths of a SEND on iSER) is checked next to it.
 */
import { ProtocolError } from '../errors.ts';
import {
  BhsField,
  bhsLength,
  dataSegmentLengthAt,
  Opcode,
  opcodeAt,
  reservedTag,
} from '../wire/bhs.ts';
import type { PduSlots } from './pdu-slots.ts';
import { ConnectionEnd } from './transport.ts';

/** "Is about no PDU of ours": ITT 0xffffffff. */
export const noPdu = -1;

/** Additional header segments that we skip: nothing a target may send us needs any, RFC 7143 §11.2.2 allows 1020 bytes. */
const maxAhsLength = 256;

/** A refusal that ends the connection with `protocol-error`. */
export function refuse(message: string): ProtocolError {
  return new ProtocolError(ConnectionEnd.protocolError, message);
}

/** The reason with which a thrown ProtocolError ends the connection. */
export function endOf(error: ProtocolError): ConnectionEnd {
  switch (error.code) {
    case ConnectionEnd.headerDigestError:
    case ConnectionEnd.dataDigestError:
      return error.code;
    default:
      return ConnectionEnd.protocolError;
  }
}

/** Length of the additional header segments in bytes. */
export function ahsLengthAt(bytes: Uint8Array, bhsOffset: number): number {
  const length = bytes[bhsOffset + BhsField.totalAhsLength] * 4;
  if (length > maxAhsLength)
    throw refuse(`TotalAHSLength ${length} exceeds the limit of ${maxAhsLength} bytes`);
  return length;
}

/** DataSegmentLength, checked against what we have declared. */
export function checkedDataSegmentLength(view: DataView, bhsOffset: number, limit: number): number {
  const length = dataSegmentLengthAt(view, bhsOffset);
  if (length > limit)
    throw refuse(`DataSegmentLength ${length} exceeds the declared limit of ${limit} bytes`);
  return length;
}

/**
 * Checks opcode and Initiator Task Tag of the PDU at `bhsOffset`: the opcode must be a target's and fit the phase (RFC 7143 §6: a
 * login phase knows login responses only), the tag must be that of a PDU which this opcode answers. Returns its slot or noPdu.
 */
export function checkedSlot(
  slots: PduSlots,
  bytes: Uint8Array,
  view: DataView,
  bhsOffset: number,
  fullFeature: boolean,
): number {
  const opcode = opcodeAt(bytes, bhsOffset);
  if (fullFeature === (opcode === Opcode.loginResponse))
    throw refuse(
      `opcode 0x${opcode.toString(16)} in the ${fullFeature ? 'full feature' : 'login'} phase`,
    );
  const itt = view.getUint32(bhsOffset + BhsField.initiatorTaskTag);
  switch (opcode) {
    case Opcode.asyncMessage:
    case Opcode.reject:
      return noPdu;
    case Opcode.nopIn:
      return itt === reservedTag ? noPdu : answeredSlot(slots, bytes, itt, Opcode.nopOut);
    case Opcode.r2t:
    case Opcode.dataIn:
    case Opcode.scsiResponse:
      return answeredSlot(slots, bytes, itt, Opcode.scsiCommand);
    case Opcode.taskManagementResponse:
      return answeredSlot(slots, bytes, itt, Opcode.taskManagementRequest);
    case Opcode.loginResponse:
      return answeredSlot(slots, bytes, itt, Opcode.loginRequest);
    case Opcode.textResponse:
      return answeredSlot(slots, bytes, itt, Opcode.textRequest);
    case Opcode.logoutResponse:
      return answeredSlot(slots, bytes, itt, Opcode.logoutRequest);
    default:
      throw refuse(`opcode 0x${opcode.toString(16)} is not a target's`);
  }
}

function answeredSlot(slots: PduSlots, bytes: Uint8Array, itt: number, request: number): number {
  const pdu = slots.findQueued(itt);
  if (pdu < 0) throw refuse(`InitiatorTaskTag 0x${itt.toString(16)} belongs to no outstanding PDU`);
  const opcode = opcodeAt(bytes, slots.pdus.bhsOffset[pdu]);
  if (opcode !== request)
    throw refuse(
      `InitiatorTaskTag 0x${itt.toString(16)} belongs to a PDU with opcode 0x${opcode.toString(16)}, ` +
        `the answer is for 0x${request.toString(16)}`,
    );
  return pdu;
}

/** The header that a Reject returns as its data segment (RFC 7143 §11.17.4) is about this slot; or noPdu. */
export function rejectedSlot(
  slots: PduSlots,
  view: DataView,
  dataOffset: number,
  dataLength: number,
): number {
  if (dataLength < bhsLength) return noPdu;
  return slots.findQueued(view.getUint32(dataOffset + BhsField.initiatorTaskTag));
}

/** Byte 1 of SCSI Response and Data-In: residual underflow (RFC 7143 §11.4.1). */
const underflowBit = 0x02;

/**
 * Bytes of the read data that are valid according to the residual count: ExpectedDataTransferLength less the underflow.
 * Data-In carries a residual only with its S bit.
 */
export function expectedReadLength(
  bytes: Uint8Array,
  view: DataView,
  bhsOffset: number,
  readLength: number,
): number {
  if ((bytes[bhsOffset + BhsField.flags] & underflowBit) === 0) return readLength;
  const residual = view.getUint32(bhsOffset + BhsField.residualCount);
  if (residual > readLength)
    throw refuse(
      `ResidualCount ${residual} of an underflow exceeds the expected transfer of ${readLength} bytes`,
    );
  return readLength - residual;
}
