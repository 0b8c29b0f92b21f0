/** Every fuzz target there is, ready to run. */
import type { FuzzTarget } from '../fuzz-target.ts';
import { loginEngine } from './login.ts';
import { nbdTargets } from './nbd.ts';
import { pduCodecs } from './pdu-codecs.ts';
import { scsiPages } from './scsi-pages.ts';
import { sessionTargets } from './session-pdus.ts';
import { textTargets } from './text.ts';

export async function allTargets(): Promise<readonly FuzzTarget[]> {
  for (const target of sessionTargets) await target.prepareSamples();
  return [scsiPages, pduCodecs, loginEngine, ...textTargets, ...nbdTargets, ...sessionTargets];
}
