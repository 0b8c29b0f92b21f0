/**
 * What the translator uses of a logical unit: starts from the profile, and is corrected when the unit refuses a command that
 * it seemed to have. Corrections only take away, so that trying again comes to an end.
 */
import { OperationCode, WriteSameFlag } from '../scsi/cdb.ts';
import { canUnmap, canWriteSameUnmap, type LogicalUnitProfile } from './profile.ts';

export const TrimMethod = { none: 0, writeSameUnmap: 1, unmap: 2 } as const;
export type TrimMethod = (typeof TrimMethod)[keyof typeof TrimMethod];

/** Bit mask; 0 = zeroes must be written as data. */
export const ZeroMethod = { writeSame: 0x80, unmap: WriteSameFlag.unmap, ndob: WriteSameFlag.ndob };

/** Operation code for synchronizing, or `noSynchronize`. */
export const noSynchronize = 0;

export class Capabilities {
  /** FUA bit of WRITE. */
  fua: boolean;
  trim: TrimMethod;
  zero: number;
  synchronize: number;
  /** GET LBA STATUS. */
  allocation: boolean;
  /** Certainly nothing volatile: WCE is 0, or nothing can be written. */
  readonly writeThrough: boolean;
  readonly #trimByWriteSame: boolean;

  constructor(profile: LogicalUnitProfile) {
    this.fua = profile.dpoFua;
    this.#trimByWriteSame = canWriteSameUnmap(profile);
    this.trim = canUnmap(profile) ? TrimMethod.unmap : this.#trimWithoutUnmap();
    this.zero = zeroMethodOf(profile);
    this.synchronize =
      profile.synchronizeCache16 === false
        ? OperationCode.synchronizeCache10
        : OperationCode.synchronizeCache16;
    this.allocation = profile.lbpme && profile.getLbaStatus !== false;
    this.writeThrough = profile.writeCacheEnabled === false || profile.readOnly;
  }

  /** How a writeZeroes request is carried out. */
  zeroMethod(noHole: boolean): number {
    return noHole ? this.zero & ~ZeroMethod.unmap : this.zero;
  }

  /** WRITE SAME with `method` was refused; `wholeCommand`: the operation code itself is unknown. */
  refuseZero(method: number, wholeCommand: boolean): void {
    if (wholeCommand) this.zero = 0;
    else if ((method & ZeroMethod.ndob) !== 0) this.zero &= ~ZeroMethod.ndob;
    else if ((method & ZeroMethod.unmap) !== 0) this.zero &= ~ZeroMethod.unmap;
    else this.zero = 0;
  }

  refuseTrim(method: TrimMethod): void {
    if (method === TrimMethod.writeSameUnmap) this.trim = TrimMethod.none;
    else if (this.trim === TrimMethod.unmap) this.trim = this.#trimWithoutUnmap();
  }

  refuseSynchronize(operationCode: number): void {
    if (operationCode === OperationCode.synchronizeCache10) this.synchronize = noSynchronize;
    else if (this.synchronize === OperationCode.synchronizeCache16) {
      this.synchronize = OperationCode.synchronizeCache10;
    }
  }

  #trimWithoutUnmap(): TrimMethod {
    return this.#trimByWriteSame ? TrimMethod.writeSameUnmap : TrimMethod.none;
  }
}

/** The UNMAP bit only where unmapped blocks read as zeroes: elsewhere the result would be no zeroes (SBC-4 §4.7.4.4). */
function zeroMethodOf(profile: LogicalUnitProfile): number {
  if (profile.writeSame16 === false) return 0;
  let method = ZeroMethod.writeSame;
  if (canWriteSameUnmap(profile) && profile.provisioning.lbprz) method |= ZeroMethod.unmap;
  if (profile.writeSameNdob) method |= ZeroMethod.ndob;
  return method;
}
