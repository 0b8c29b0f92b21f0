import {
  HandshakeFlag,
  nbdMagicHigh,
  nbdMagicLow,
  optionMagicHigh,
  optionMagicLow,
} from './constants.ts';

/** NBDMAGIC, IHAVEOPT, handshake flags u16. */
export const greetingLength = 18;

/** What a server says first in the fixed newstyle negotiation (proto.md: Newstyle negotiation), with or without TLS after it. */
export function serverGreeting(): Uint8Array {
  const view = new DataView(new ArrayBuffer(greetingLength));
  view.setUint32(0, nbdMagicHigh);
  view.setUint32(4, nbdMagicLow);
  view.setUint32(8, optionMagicHigh);
  view.setUint32(12, optionMagicLow);
  view.setUint16(16, HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes);
  return new Uint8Array(view.buffer);
}
