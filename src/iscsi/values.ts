import { ProtocolError } from '../errors.ts';
import { quoted } from './text-keys.ts';

/*
 * Values of text keys (RFC 7143 §6.1): numerical-value, binary-value (hex-constant or base64-constant), boolean-value.
 */

const numberPattern = /^(?:0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})$/;
const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Decimal or hexadecimal, in minimum..maximum. */
export function parseNumber(key: string, value: string, minimum: number, maximum: number): number {
  if (!numberPattern.test(value)) {
    throw new ProtocolError('VALUE_NOT_A_NUMBER', `${key}: ${quoted(value)} is not a number`);
  }
  const number = Number(value);
  if (number < minimum || number > maximum) {
    throw new ProtocolError(
      'VALUE_OUT_OF_RANGE',
      `${key}: ${number} is not in ${minimum}..${maximum}`,
    );
  }
  return number;
}

/** @returns 'Yes' or 'No' */
export function parseBoolean(key: string, value: string): 'Yes' | 'No' {
  if (value === 'Yes' || value === 'No') return value;
  throw new ProtocolError('VALUE_NOT_A_BOOLEAN', `${key}: ${quoted(value)} is neither Yes nor No`);
}

/** Reads 0x… or 0b… into 1..maxLength bytes. An odd number of hexadecimal digits has an implied leading zero. */
export function parseBinary(key: string, value: string, maxLength: number): Uint8Array {
  const bytes = decodeBinary(value);
  if (bytes === undefined) {
    throw new ProtocolError('VALUE_NOT_BINARY', `${key}: the value is neither 0x… nor 0b…`);
  }
  if (bytes.length === 0 || bytes.length > maxLength) {
    throw new ProtocolError(
      'VALUE_LENGTH',
      `${key}: ${bytes.length} bytes, must be 1..${maxLength}`,
    );
  }
  return bytes;
}

function decodeBinary(value: string): Uint8Array | undefined {
  const digits = value.slice(2);
  switch (value.slice(0, 2)) {
    case '0x':
    case '0X':
      if (!/^[0-9a-fA-F]*$/.test(digits)) return undefined;
      return new Uint8Array(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'));
    case '0b':
    case '0B':
      if (!base64Pattern.test(digits)) return undefined;
      return new Uint8Array(Buffer.from(digits, 'base64'));
    default:
      return undefined;
  }
}

export function formatBinary(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`;
}
