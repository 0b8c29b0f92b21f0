import type { ArenaMemory, MemoryRegion } from '../reactor.ts';
import type { FakeCompletionQueue } from './completion-queue.ts';

/** Access bits, the same numbers as RegistrationAccess. */
export const FakeAccess = { localWrite: 1, remoteRead: 2, remoteWrite: 4 } as const;

/** The fake peer named memory that no registration allows it to touch: what a real device answers with REM_ACCESS_ERR. */
export class FakeAccessError extends Error {
  constructor(message: string) {
    super(`remote access refused: ${message}`);
    this.name = 'FakeAccessError';
  }
}

interface NativeErrorShape extends Error {
  code: string;
  errno: number;
  syscall: string;
}

/** An error as native code throws it. */
export function fakeNativeError(code: string, errno: number, syscall: string): Error {
  const error = new Error(`${syscall}: ${code}`) as NativeErrorShape;
  error.code = code;
  error.errno = errno;
  error.syscall = syscall;
  return error;
}

/** A range of the arena that an operation in progress reads or writes. */
export interface PostedRange {
  readonly offset: number;
  readonly length: number;
  readonly use: 'reads' | 'writes';
  readonly what: string;
  readonly lkey: number;
  /** What it held when it was posted, for ranges that are read. */
  readonly snapshot: Uint8Array;
}

export interface FakeRegion extends MemoryRegion {
  readonly protectionDomain: number;
  readonly offset: number;
  readonly length: number;
  readonly access: number;
}

const noBytes = new Uint8Array(0);

/** The fake arena, what is posted in it and what is registered of it. */
export class FakeMemory implements ArenaMemory {
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly base: bigint;
  readonly regions = new Map<number, FakeRegion>();
  /** false: memory may change under a posted send (for peers that write where they must not). */
  checkSends = true;
  /** false: the peer may RDMA WRITE into memory that is posted (for targets that lie). */
  checkRemoteWrites = true;
  /** Errors that the next registrations throw. */
  readonly registrationFaults: { code: string; errno: number }[] = [];
  /** Registered bytes beyond this fail with ENOMEM, as RLIMIT_MEMLOCK does. */
  pinnedLimitBytes = Infinity;
  pinnedBytes = 0;
  registrations = 0;
  readonly #posted = new Set<PostedRange>();
  readonly #queue: FakeCompletionQueue;
  #nextKey = 0x1000;

  constructor(sizeBytes: number, base: bigint, queue: FakeCompletionQueue) {
    const buffer = new ArrayBuffer(sizeBytes);
    this.sizeBytes = sizeBytes;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.base = base;
    this.#queue = queue;
  }

  get posted(): readonly PostedRange[] {
    return [...this.#posted];
  }

  /** Checks and remembers a range; overlaps are fine only between two readers. */
  post(
    use: 'reads' | 'writes',
    offset: number,
    length: number,
    what: string,
    lkey = 0,
  ): PostedRange {
    this.#checkRange(offset, length, what);
    for (const other of this.#posted) {
      const overlaps = offset < other.offset + other.length && other.offset < offset + length;
      if (overlaps && (use === 'writes' || other.use === 'writes')) {
        this.#queue.violation(
          `${what} [${offset}, +${length}) overlaps ${other.what} [${other.offset}, +${other.length})`,
        );
      }
    }
    const snapshot = use === 'reads' ? this.bytes.slice(offset, offset + length) : noBytes;
    const range = { offset, length, use, what, lkey, snapshot };
    this.#posted.add(range);
    return range;
  }

  /** The operation is over; a range that was being sent must not have changed meanwhile. */
  unpost(range: PostedRange): void {
    if (!this.#posted.delete(range) || range.use === 'writes' || !this.checkSends) return;
    for (let i = 0; i < range.length; i++) {
      if (this.bytes[range.offset + i] !== range.snapshot[i]) {
        this.#queue.violation(
          `${range.what}: byte ${range.offset + i} changed before the send was reported`,
        );
      }
    }
  }

  /** Like unpost, for an object that is closed: nobody reads the memory any more. */
  abandon(range: PostedRange): void {
    this.#posted.delete(range);
  }

  #checkRange(offset: number, length: number, what: string): void {
    const sound = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length > 0;
    if (!sound || offset + length > this.sizeBytes) {
      this.#queue.violation(`${what} [${offset}, +${length}) is outside the arena`);
    }
  }

  register(protectionDomain: number, offset: number, length: number, access: number): FakeRegion {
    this.#checkRange(offset, length, 'registerMemory');
    const fault = this.registrationFaults.shift();
    if (fault !== undefined) throw fakeNativeError(fault.code, fault.errno, 'ibv_reg_mr');
    if (this.pinnedBytes + length > this.pinnedLimitBytes) {
      throw fakeNativeError('ENOMEM', 12, 'ibv_reg_mr');
    }
    const id = this.#nextKey++;
    const granted = access & FakeAccess.remoteWrite ? access | FakeAccess.localWrite : access;
    const region = {
      id,
      lkey: id * 256 + 1,
      rkey: id * 256 + 2,
      protectionDomain,
      offset,
      length,
      access: granted,
    };
    this.regions.set(id, region);
    this.pinnedBytes += length;
    this.registrations += 1;
    return region;
  }

  deregister(id: number): void {
    const region = this.regions.get(id);
    if (region === undefined) this.#queue.violation(`region ${id} is not registered`);
    for (const range of this.#posted) {
      if (range.lkey === region.lkey) {
        this.#queue.violation(`region ${id} deregistered while ${range.what} uses it`);
      }
    }
    this.pinnedBytes -= region.length;
    this.regions.delete(id);
  }

  /** The local key must cover the range; receives need localWrite. */
  checkLocalKey(lkey: number, offset: number, length: number, access: number, what: string): void {
    for (const region of this.regions.values()) {
      if (region.lkey !== lkey) continue;
      const inside = offset >= region.offset && offset + length <= region.offset + region.length;
      if (!inside) this.#queue.violation(`${what} [${offset}, +${length}) is outside its region`);
      if ((region.access & access) !== access) {
        this.#queue.violation(`${what} needs access ${access}, its region has ${region.access}`);
      }
      return;
    }
    this.#queue.violation(`${what} names lkey ${lkey}, which is not registered`);
  }

  /** A peer that may still write must not find its memory in other use: the buffer was given away too early. */
  writeRemote(offset: number, bytes: Uint8Array): void {
    for (const range of this.#posted) {
      const overlaps = offset < range.offset + range.length && range.offset < offset + bytes.length;
      if (overlaps && this.checkRemoteWrites) {
        this.#queue.violation(`RDMA WRITE [${offset}, +${bytes.length}) into a ${range.what}`);
      }
    }
    this.bytes.set(bytes, offset);
  }

  /** Arena offset of a remote address, when a live registration allows the access. */
  resolveRemote(
    protectionDomain: number,
    rkey: number,
    address: bigint,
    length: number,
    access: number,
  ): number {
    const offset = Number(address - this.base);
    for (const region of this.regions.values()) {
      if (region.rkey !== rkey || region.protectionDomain !== protectionDomain) continue;
      if (offset < region.offset || offset + length > region.offset + region.length) {
        throw new FakeAccessError(
          `[${offset}, +${length}) is outside [${region.offset}, +${region.length}) of rkey ${rkey}`,
        );
      }
      if ((region.access & access) !== access) {
        throw new FakeAccessError(`rkey ${rkey} has access ${region.access}, needs ${access}`);
      }
      return offset;
    }
    throw new FakeAccessError(`rkey ${rkey} is not registered`);
  }
}
