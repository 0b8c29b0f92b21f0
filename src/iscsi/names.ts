import { ConfigurationError } from '../errors.ts';

/** RFC 7143 §4.2.7.2: an iSCSI name has at most 223 bytes of UTF-8. */
export const maxNameLength = 223;

const iqnPattern = /^iqn\.\d{4}-(?:0[1-9]|1[0-2])\.[^:]+(?::.+)?$/i;
const euiPattern = /^eui\.[0-9a-f]{16}$/i;
const naaPattern = /^naa\.(?:[0-9a-f]{16}|[0-9a-f]{32})$/i;
/** Of ASCII only these (RFC 3722 §6); the underscore is not in it and yet in daily use. */
const forbiddenAscii = /[\x00-\x2c\x2f\x3b-\x40\x5b-\x5e\x60\x7b-\x7f]/;

/** What is wrong with an iSCSI node name (RFC 7143 §4.2.7); undefined when nothing is. */
export function nameDefect(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (Buffer.byteLength(name) > maxNameLength) return `it is longer than ${maxNameLength} bytes`;
  if (forbiddenAscii.test(name)) return 'it has a character that iSCSI names may not have';
  if (iqnPattern.test(name) || euiPattern.test(name) || naaPattern.test(name)) return undefined;
  return 'it is none of iqn.YYYY-MM.reversed.domain[:text], eui.<16 hex digits>, naa.<16 or 32 hex digits>';
}

/** @param subject names the setting in the error */
export function checkName(name: string, subject: string): void {
  const defect = nameDefect(name);
  if (defect !== undefined) {
    throw new ConfigurationError(
      'ISCSI_NAME_INVALID',
      `${subject} ${JSON.stringify(name)}: ${defect}`,
    );
  }
}
