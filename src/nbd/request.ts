import type { BlockGeometry } from '../block/device.ts';
import { BlockFlag, BlockOperation } from '../block/request-table.ts';
import { Command, CommandFlag, requestMagic } from './constants.ts';
import { NbdCounter } from './counters.ts';
import type { Agreement } from './handshake.ts';
import { Refusal } from './refusal.ts';

/**
 * The header of the request being looked at; one object per connection, filled again for every request.
 *   magic u32 | command flags u16 | type u16 | cookie u64 | offset u64 | length u32
 */
export class RequestHeader {
  magic = 0;
  flags = 0;
  command = 0;
  cookieHigh = 0;
  cookieLow = 0;
  /** Bytes. Exact below 2^53; above, still larger than every device. */
  offset = 0;
  /** Bytes. */
  length = 0;

  read(view: DataView, position: number): void {
    this.magic = view.getUint32(position);
    this.flags = view.getUint16(position + 4);
    this.command = view.getUint16(position + 6);
    this.cookieHigh = view.getUint32(position + 8);
    this.cookieLow = view.getUint32(position + 12);
    this.offset = view.getUint32(position + 16) * 0x1_0000_0000 + view.getUint32(position + 20);
    this.length = view.getUint32(position + 24);
  }

  get hasMagic(): boolean {
    return this.magic === requestMagic;
  }
}

/** Everything but FUA, which is accepted on every command once offered (proto.md: Command flags). */
const flagsBesidesFua: readonly number[] = (() => {
  const flags = new Array<number>(Command.blockStatus + 1).fill(0);
  flags[Command.read] = CommandFlag.df;
  flags[Command.writeZeroes] = CommandFlag.noHole | CommandFlag.fastZero;
  flags[Command.blockStatus] = CommandFlag.reqOne;
  return flags;
})();

/**
 * The one place where a request is judged, before it has any effect (proto.md: Request types, Size constraints). DISC never
 * comes here. A refused WRITE still has its payload to be consumed.
 */
export function validateRequest(
  header: RequestHeader,
  geometry: BlockGeometry,
  agreement: Agreement,
  payloadLength: number,
): Refusal {
  const { command, flags, offset, length } = header;
  if (command > Command.blockStatus) return Refusal.unknownCommand;
  if ((flags & ~(flagsBesidesFua[command] | CommandFlag.fua)) !== 0) {
    return Refusal.inapplicableFlag;
  }
  if ((flags & CommandFlag.df) !== 0 && !agreement.structuredReplies) {
    return Refusal.inapplicableFlag;
  }
  if (command === Command.flush) {
    return offset === 0 && length === 0 ? Refusal.none : Refusal.nonZeroFlush;
  }
  const modifies =
    command === Command.write || command === Command.trim || command === Command.writeZeroes;
  if (modifies && geometry.readOnly) return Refusal.readOnly;
  if ((command === Command.read || command === Command.write) && length > payloadLength) {
    return Refusal.payloadTooLong;
  }
  if (offset > geometry.sizeBytes || length > geometry.sizeBytes - offset) {
    return command === Command.write || command === Command.writeZeroes
      ? Refusal.pastEndWrite
      : Refusal.pastEnd;
  }
  const block = geometry.logicalBlockLength;
  if (offset % block !== 0 || length % block !== 0) return Refusal.unaligned;
  return refusalOfCommand(header, geometry, agreement);
}

function refusalOfCommand(
  header: RequestHeader,
  geometry: BlockGeometry,
  agreement: Agreement,
): Refusal {
  const { command, flags, length } = header;
  if (command === Command.trim && !geometry.canTrim) return Refusal.trimNotOffered;
  if (command === Command.writeZeroes) {
    const slow = (flags & CommandFlag.fastZero) !== 0 && !geometry.fastZeroes;
    return slow ? Refusal.slowZeroes : Refusal.none;
  }
  if (command === Command.blockStatus) {
    if (!agreement.allocationContext) return Refusal.noContext;
    if (length === 0) return Refusal.emptyStatus;
  }
  return Refusal.none;
}

/** BlockOperation by command; DISC is never looked up. */
export const operationOf: readonly BlockOperation[] = (() => {
  const table = new Array<BlockOperation>(Command.blockStatus + 1).fill(BlockOperation.read);
  table[Command.write] = BlockOperation.write;
  table[Command.flush] = BlockOperation.flush;
  table[Command.trim] = BlockOperation.trim;
  table[Command.cache] = BlockOperation.cache;
  table[Command.writeZeroes] = BlockOperation.writeZeroes;
  table[Command.blockStatus] = BlockOperation.blockStatus;
  return table;
})();

/** NbdCounter by command. */
export const counterOf: readonly number[] = (() => {
  const table = new Array<number>(Command.blockStatus + 1).fill(NbdCounter.reads);
  table[Command.write] = NbdCounter.writes;
  table[Command.flush] = NbdCounter.flushes;
  table[Command.trim] = NbdCounter.trims;
  table[Command.cache] = NbdCounter.caches;
  table[Command.writeZeroes] = NbdCounter.writeZeroes;
  table[Command.blockStatus] = NbdCounter.blockStatuses;
  return table;
})();

/** BlockFlag bits of command flags. */
export function blockFlags(commandFlags: number): number {
  let flags = 0;
  if ((commandFlags & CommandFlag.fua) !== 0) flags |= BlockFlag.forceUnitAccess;
  if ((commandFlags & CommandFlag.noHole) !== 0) flags |= BlockFlag.noHole;
  if ((commandFlags & CommandFlag.fastZero) !== 0) flags |= BlockFlag.fastZero;
  if ((commandFlags & CommandFlag.reqOne) !== 0) flags |= BlockFlag.requestOne;
  return flags;
}
