import { ProtocolError } from '../../errors.ts';
import { BhsField, Opcode, finalBit, immediateBit } from '../../wire/bhs.ts';
import type { LoginRequest, LoginResponse } from '../login-contract.ts';
import { copyBytes, readResponseHeader } from './response-header.ts';
import type { ResponseHeader } from './response-header.ts';

/*
 * Login Request (RFC 7143 §11.12)                   Login Response (RFC 7143 §11.13)
 *
 *   0 |.|1| 0x03 |T|C|.|.|CSG|NSG| VMax | VMin |      0 |.|.| 0x23 |T|C|.|.|CSG|NSG| VMax | VAct |
 *   4 | TotalAHSLength, DSL                    |      4 | TotalAHSLength, DSL                    |
 *   8 | ISID (6 bytes)       | 14 TSIH         |      8 | ISID (6 bytes)       | 14 TSIH         |
 *  16 | Initiator Task Tag                     |     16 | Initiator Task Tag                     |
 *  20 | CID                  | Reserved        |     20 | Reserved                               |
 *  24 | CmdSN                                  |     24 | StatSN                                 |
 *  28 | ExpStatSN or Reserved                  |     28 | ExpCmdSN                               |
 *  32 | Reserved (16 bytes)                    |     32 | MaxCmdSN                               |
 *                                                    36 | StatusClass | StatusDetail | Reserved  |
 */

const transitBit = finalBit;
const continueBit = 0x40;
/** Version-max, -min and -active: RFC 7143 is version 0. */
const version = 0;

export interface LoginResponsePdu extends LoginResponse, ResponseHeader {
  readonly isid: Uint8Array;
}

/**
 * Writes the BHS of a Login Request; the text is the data segment. Login requests are immediate: `cmdSn` is not consumed.
 * @param isid 6 bytes @param tsih 0 for a new session
 */
export function writeLoginRequest(
  view: DataView,
  bhsOffset: number,
  request: LoginRequest,
  isid: Uint8Array,
  tsih: number,
  initiatorTaskTag: number,
  connectionId: number,
  cmdSn: number,
  expStatSn: number,
): void {
  const flags =
    (request.transit ? transitBit : 0) |
    (request.continued ? continueBit : 0) |
    (request.csg << 2) |
    (request.transit ? request.nsg : 0);
  view.setUint32(
    bhsOffset,
    ((Opcode.loginRequest | immediateBit) << 24) | (flags << 16) | (version << 8) | version,
  );
  view.setUint32(bhsOffset + BhsField.totalAhsLength, 0);
  for (let i = 0; i < 6; i++) view.setUint8(bhsOffset + 8 + i, isid[i]);
  view.setUint16(bhsOffset + 14, tsih);
  view.setUint32(bhsOffset + BhsField.initiatorTaskTag, initiatorTaskTag);
  view.setUint32(bhsOffset + 20, connectionId << 16);
  view.setUint32(bhsOffset + BhsField.cmdSn, cmdSn);
  view.setUint32(bhsOffset + BhsField.expStatSn, expStatSn);
  for (let at = 32; at < 48; at += 4) view.setUint32(bhsOffset + at, 0);
}

/** Reads a Login Response; its text and ISID are copies. Whether stages and status make sense is for the login engine. */
export function readLoginResponse(
  view: DataView,
  bhsOffset: number,
  dataOffset: number,
  dataLength: number,
): LoginResponsePdu {
  const flags = view.getUint8(bhsOffset + BhsField.flags);
  const activeVersion = view.getUint8(bhsOffset + 3);
  const statusClass = view.getUint8(bhsOffset + 36);
  if (statusClass === 0 && activeVersion !== version) {
    throw new ProtocolError(
      'LOGIN_VERSION',
      `Login Response: Version-active ${activeVersion}, only ${version} exists`,
    );
  }
  return {
    ...readResponseHeader(view, bhsOffset),
    transit: (flags & transitBit) !== 0,
    continued: (flags & continueBit) !== 0,
    csg: (flags >> 2) & 3,
    nsg: flags & 3,
    isid: copyBytes(view, bhsOffset + 8, 6),
    tsih: view.getUint16(bhsOffset + 14),
    statusClass,
    statusDetail: view.getUint8(bhsOffset + 37),
    text: copyBytes(view, dataOffset, dataLength),
  };
}
