/**
 * A direct access logical unit in RAM that executes CDBs, for tests of everything above the session. It follows SBC-4 where a
 * translator could get it wrong, checks what it is sent, and can be told to lack commands or to fail.
 */
import { OperationCode, ServiceAction } from '../../src/scsi/cdb.ts';
import { ScsiStatus } from '../../src/scsi/status.ts';

export interface RamLogicalUnitOptions {
  readonly blocks: number;
  readonly blockLength: number;
  readonly thin?: boolean;
  readonly lbprz?: boolean;
  readonly dpoFua?: boolean;
  readonly writeCache?: boolean | undefined;
  readonly writeProtected?: boolean;
  readonly maximumTransferBlocks?: number;
  readonly granularityBlocks?: number;
  readonly maximumUnmapBlocks?: number;
  readonly unmapGranularityBlocks?: number;
  readonly unmapAlignmentBlocks?: number;
  readonly maximumWriteSameBlocks?: number;
  readonly ndob?: boolean;
  /** Operation codes (service action << 8 for those that have one) that end with INVALID COMMAND OPERATION CODE. */
  readonly lacks?: readonly number[];
  readonly designator?: Uint8Array;
}

export interface ScsiAnswer {
  readonly status: number;
  readonly sense: Uint8Array;
  readonly data: Uint8Array;
}

const none = new Uint8Array(0);

export function fixedSense(key: number, code: number, deferred = false): Uint8Array {
  const sense = new Uint8Array(18);
  sense[0] = deferred ? 0x71 : 0x70;
  sense[2] = key;
  sense[7] = 10;
  sense[12] = code >> 8;
  sense[13] = code & 0xff;
  return sense;
}

export function checkCondition(key: number, code: number, deferred = false): ScsiAnswer {
  return {
    status: ScsiStatus.checkCondition,
    sense: fixedSense(key, code, deferred),
    data: none,
  };
}

export function statusOnly(status: number): ScsiAnswer {
  return { status, sense: none, data: none };
}

export function good(data: Uint8Array = none): ScsiAnswer {
  return { status: ScsiStatus.good, sense: none, data };
}

const invalidCommand = () => checkCondition(5, 0x2000);
const invalidField = () => checkCondition(5, 0x2400);

export class RamLogicalUnit {
  options: RamLogicalUnitOptions;
  /** What reads return now. */
  content: Uint8Array;
  /** What survives a power failure: content at the last synchronize or FUA write, per block. */
  stable: Uint8Array;
  mapped: Uint8Array;
  readonly log: Uint8Array[] = [];
  /** Answers instead of execution while it returns one. */
  fault: ((cdb: Uint8Array) => ScsiAnswer | undefined) | undefined;
  readonly #lacks: Set<number>;

  constructor(options: RamLogicalUnitOptions) {
    this.options = options;
    this.content = new Uint8Array(options.blocks * options.blockLength);
    this.stable = new Uint8Array(this.content.length);
    this.mapped = new Uint8Array(options.blocks).fill(options.thin === true ? 0 : 1);
    this.#lacks = new Set(options.lacks);
  }

  /** Another size, write protection, identity ...; blocks that are in both sizes keep their content. */
  change(options: Partial<RamLogicalUnitOptions>): void {
    this.options = { ...this.options, ...options };
    const { blocks, blockLength, thin } = this.options;
    const resized = (old: Uint8Array, length: number, fill: number): Uint8Array => {
      const bytes = new Uint8Array(length).fill(fill);
      bytes.set(old.subarray(0, length));
      return bytes;
    };
    this.content = resized(this.content, blocks * blockLength, 0);
    this.stable = resized(this.stable, blocks * blockLength, 0);
    this.mapped = resized(this.mapped, blocks, thin === true ? 0 : 1);
  }

  /** Operation codes of what has been executed, oldest first. */
  get operations(): number[] {
    return this.log.map((cdb) => cdb[0]);
  }

  execute(cdb: Uint8Array, written: Uint8Array): ScsiAnswer {
    this.log.push(cdb.slice());
    const fault = this.fault?.(cdb);
    if (fault !== undefined) return fault;
    if (this.#lacks.has(cdb[0]) || this.#lacks.has(((cdb[1] & 0x1f) << 8) | cdb[0])) {
      return invalidCommand();
    }
    const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.byteLength);
    switch (cdb[0]) {
      case OperationCode.testUnitReady:
        return good();
      case OperationCode.inquiry:
        return this.#inquiry(cdb);
      case OperationCode.readCapacity10:
        return this.#readCapacity10();
      case OperationCode.modeSense6:
        return good(this.#modeSense6().subarray(0, cdb[4]));
      case OperationCode.modeSense10:
        return good(this.#modeSense10());
      case OperationCode.reportLuns:
        return good(Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0));
      case OperationCode.maintenanceIn:
        return this.#reportOperation(cdb);
      case OperationCode.serviceActionIn16:
        return (cdb[1] & 0x1f) === ServiceAction.readCapacity16
          ? this.#readCapacity16()
          : this.#lbaStatus(view);
      case OperationCode.read10:
        return this.#read(view.getUint32(2), view.getUint16(7));
      case OperationCode.read16:
        return this.#read(Number(view.getBigUint64(2)), view.getUint32(10));
      case OperationCode.write10:
        return this.#write(cdb, view.getUint32(2), view.getUint16(7), written);
      case OperationCode.write16:
        return this.#write(cdb, Number(view.getBigUint64(2)), view.getUint32(10), written);
      case OperationCode.synchronizeCache10:
      case OperationCode.synchronizeCache16:
        this.stable.set(this.content);
        return good();
      case OperationCode.unmap:
        return this.#unmap(written);
      case OperationCode.writeSame16:
        return this.#writeSame(cdb, view, written);
      default:
        return invalidCommand();
    }
  }

  #outOfRange(lba: number, blocks: number): boolean {
    return lba + blocks > this.options.blocks;
  }

  #read(lba: number, blocks: number): ScsiAnswer {
    const { blockLength, maximumTransferBlocks } = this.options;
    if (this.#outOfRange(lba, blocks)) return checkCondition(5, 0x2100);
    if (maximumTransferBlocks !== undefined && blocks > maximumTransferBlocks)
      return invalidField();
    return good(this.content.slice(lba * blockLength, (lba + blocks) * blockLength));
  }

  #write(cdb: Uint8Array, lba: number, blocks: number, written: Uint8Array): ScsiAnswer {
    const { blockLength, maximumTransferBlocks, dpoFua, writeProtected } = this.options;
    if (writeProtected === true) return checkCondition(7, 0x2700);
    if (this.#outOfRange(lba, blocks)) return checkCondition(5, 0x2100);
    if (maximumTransferBlocks !== undefined && blocks > maximumTransferBlocks)
      return invalidField();
    const fua = (cdb[1] & 0x08) !== 0;
    if (fua && dpoFua !== true) return invalidField();
    if (written.length !== blocks * blockLength) return checkCondition(0xb, 0x4b00);
    this.content.set(written, lba * blockLength);
    this.mapped.fill(1, lba, lba + blocks);
    if (fua) this.stable.set(written, lba * blockLength);
    return good();
  }

  #unmap(written: Uint8Array): ScsiAnswer {
    const { thin, maximumUnmapBlocks } = this.options;
    if (thin !== true) return invalidCommand();
    const view = new DataView(written.buffer, written.byteOffset, written.byteLength);
    if (view.getUint16(0) !== written.length - 2 || view.getUint16(2) !== written.length - 8) {
      return checkCondition(5, 0x2600);
    }
    for (let at = 8; at < written.length; at += 16) {
      const lba = Number(view.getBigUint64(at));
      const blocks = view.getUint32(at + 8);
      if (this.#outOfRange(lba, blocks)) return checkCondition(5, 0x2100);
      if (maximumUnmapBlocks !== undefined && blocks > maximumUnmapBlocks) {
        return checkCondition(5, 0x2600);
      }
      this.#deallocate(lba, blocks);
    }
    return good();
  }

  /** Whole granules only; what lies beside stays mapped, as SBC-4 allows. */
  #deallocate(lba: number, blocks: number): void {
    const { blockLength, lbprz } = this.options;
    const granularity = this.options.unmapGranularityBlocks ?? 1;
    const phase = (this.options.unmapAlignmentBlocks ?? 0) % granularity;
    const first = Math.ceil((lba - phase) / granularity) * granularity + phase;
    const last = Math.floor((lba + blocks - phase) / granularity) * granularity + phase;
    if (last <= first) return;
    this.mapped.fill(0, first, last);
    this.content.fill(lbprz === true ? 0 : 0xee, first * blockLength, last * blockLength);
  }

  #writeSame(cdb: Uint8Array, view: DataView, written: Uint8Array): ScsiAnswer {
    const { blockLength, maximumWriteSameBlocks, ndob, thin, lbprz, writeProtected } = this.options;
    const lba = Number(view.getBigUint64(2));
    const blocks = view.getUint32(10);
    if (writeProtected === true) return checkCondition(7, 0x2700);
    if (this.#outOfRange(lba, blocks)) return checkCondition(5, 0x2100);
    if (maximumWriteSameBlocks !== undefined && blocks > maximumWriteSameBlocks) {
      return invalidField();
    }
    const withoutData = (cdb[1] & 0x01) !== 0;
    if (withoutData && ndob !== true) return invalidField();
    if (written.length !== (withoutData ? 0 : blockLength)) return checkCondition(0xb, 0x4b00);
    const unmap = (cdb[1] & 0x08) !== 0;
    if (unmap && thin !== true) return invalidField();
    for (let block = lba; block < lba + blocks; block++) {
      if (withoutData) this.content.fill(0, block * blockLength, (block + 1) * blockLength);
      else this.content.set(written, block * blockLength);
      this.mapped[block] = 1;
    }
    if (unmap && lbprz === true) this.#deallocate(lba, blocks);
    return good();
  }

  #lbaStatus(view: DataView): ScsiAnswer {
    const lba = Number(view.getBigUint64(2));
    const limit = view.getUint32(10);
    if (this.#outOfRange(lba, 1)) return checkCondition(5, 0x2100);
    const runs: { start: number; blocks: number; status: number }[] = [];
    for (let block = lba; block < this.options.blocks; block++) {
      const status = this.mapped[block] === 1 ? 0 : 1;
      const last = runs.at(-1);
      if (last?.status === status) last.blocks++;
      else runs.push({ start: block, blocks: 1, status });
    }
    const data = new Uint8Array(8 + runs.length * 16);
    const out = new DataView(data.buffer);
    out.setUint32(0, data.length - 4);
    for (const [index, run] of runs.entries()) {
      out.setBigUint64(8 + index * 16, BigInt(run.start));
      out.setUint32(16 + index * 16, run.blocks);
      data[20 + index * 16] = run.status;
    }
    return good(data.subarray(0, limit));
  }

  #readCapacity10(): ScsiAnswer {
    const data = new DataView(new ArrayBuffer(8));
    data.setUint32(0, Math.min(0xffffffff, this.options.blocks - 1));
    data.setUint32(4, this.options.blockLength);
    return good(new Uint8Array(data.buffer));
  }

  #readCapacity16(): ScsiAnswer {
    const data = new DataView(new ArrayBuffer(32));
    data.setBigUint64(0, BigInt(this.options.blocks - 1));
    data.setUint32(8, this.options.blockLength);
    data.setUint8(13, 3);
    const thin = this.options.thin === true ? 0x80 : 0;
    data.setUint8(14, thin | (this.options.lbprz === true ? 0x40 : 0));
    return good(new Uint8Array(data.buffer));
  }

  #modePages(): number[] {
    const { writeCache } = this.options;
    return writeCache === undefined
      ? []
      : [0x08, 0x12, writeCache ? 0x04 : 0, ...new Array<number>(17).fill(0)];
  }

  get #deviceSpecific(): number {
    const { writeProtected, dpoFua } = this.options;
    return (writeProtected === true ? 0x80 : 0) | (dpoFua === true ? 0x10 : 0);
  }

  #modeSense6(): Uint8Array {
    const pages = this.#modePages();
    return Uint8Array.of(3 + pages.length, 0, this.#deviceSpecific, 0, ...pages);
  }

  #modeSense10(): Uint8Array {
    const pages = this.#modePages();
    return Uint8Array.of(0, 6 + pages.length, 0, this.#deviceSpecific, 0, 0, 0, 0, ...pages);
  }

  #inquiry(cdb: Uint8Array): ScsiAnswer {
    if ((cdb[1] & 1) === 0) {
      const data = new Uint8Array(36);
      data.set([0, 0, 6, 2, 31]);
      data.set(new TextEncoder().encode('ISERD   RAM DISK        1   '), 8);
      return good(data);
    }
    const body = this.#vpd(cdb[2]);
    if (body === undefined) return invalidField();
    return good(Uint8Array.of(0, cdb[2], body.length >> 8, body.length & 0xff, ...body));
  }

  #vpd(page: number): Uint8Array | undefined {
    const { options } = this;
    switch (page) {
      case 0x00:
        return Uint8Array.of(0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2);
      case 0x80:
        return new TextEncoder().encode('SERIAL-1');
      case 0x83: {
        const naa =
          options.designator ?? Uint8Array.of(0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6);
        return Uint8Array.of(1, 3, 0, naa.length, ...naa);
      }
      case 0xb0: {
        const body = new DataView(new ArrayBuffer(60));
        body.setUint16(2, options.granularityBlocks ?? 0);
        body.setUint32(4, options.maximumTransferBlocks ?? 0);
        if (options.thin === true) {
          body.setUint32(16, options.maximumUnmapBlocks ?? 0xffffffff);
          body.setUint32(20, 1);
        }
        body.setUint32(24, options.unmapGranularityBlocks ?? 0);
        if (options.unmapAlignmentBlocks !== undefined) {
          body.setUint32(28, (0x80000000 | options.unmapAlignmentBlocks) >>> 0);
        }
        body.setUint32(36, options.maximumWriteSameBlocks ?? 0);
        return new Uint8Array(body.buffer);
      }
      case 0xb1:
        return Uint8Array.of(0, 1);
      case 0xb2:
        return options.thin === true
          ? Uint8Array.of(0, 0xc0 | (options.lbprz === true ? 0x04 : 0), 2, 0)
          : new Uint8Array(4);
      default:
        return undefined;
    }
  }

  #reportOperation(cdb: Uint8Array): ScsiAnswer {
    const key = (cdb[2] & 7) === 2 ? (cdb[5] << 8) | cdb[3] : cdb[3];
    const supported = !this.#lacks.has(key) && !this.#lacks.has(cdb[3]);
    const usage = new Uint8Array(16).fill(0xff);
    usage[0] = cdb[3];
    usage[1] = this.options.ndob === true ? 0x09 : 0x08;
    return good(
      Uint8Array.of(0, supported ? 3 : 1, 0, supported ? 16 : 0, ...(supported ? usage : [])),
    );
  }
}
