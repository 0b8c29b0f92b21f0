/** One line of the matrix: a fault over a way under a load, and what must come of it. */
import type { Bed, Way } from './bed.ts';
import type { FaultVolume, VolumeSettings } from './fault-volume.ts';
import type { LoggedWriter } from './logged-writer.ts';

/** What a fault is given to work with, and what it tells. */
export interface Stage {
  readonly bed: Bed;
  readonly way: Way;
  readonly volume: FaultVolume;
  readonly writer: LoggedWriter;
  /** The fault begins now, and this shell command is it. */
  inject(command: string): Promise<void>;
  /** The same, done by ourselves. */
  injectBy(action: () => unknown): Promise<void>;
  /** What the fault took away is there again once this shell command has ended. */
  heal(command: string): Promise<void>;
  healBy(action: () => unknown): Promise<void>;
  /** The fault is over without anybody's doing. */
  healed(): Promise<void>;
  /** The fault lasts. In the quick matrix it may last for another time. */
  hold(seconds: number, quickSeconds?: number): Promise<void>;
  /** Resolves when the daemon has logged the loss of its connection, or what the pattern says. */
  noticed(timeoutMs: number, pattern?: RegExp): Promise<void>;
}

/** What the writes go through: the kernel device, a file of an ext4 on it, or the Unix socket. */
export type LoadPath = 'device' | 'file system' | 'socket';

/** How the connection must have fared. */
export type Connection = 'lost' | 'kept' | 'either';

export interface Fault {
  readonly name: string;
  readonly ways: readonly Way[];
  /** Ways of the quick matrix. */
  readonly quickWays: readonly Way[];
  readonly load: LoadPath;
  /** It needs the wire between two devices of the VM, or a kernel device. */
  readonly needsVm?: boolean;
  readonly settings?: VolumeSettings;
  readonly connection: Connection;
  /** From the fault to the line in the log, ms; a peer that is dead without a word must be noticed in 10 s. */
  readonly detectedWithinMs?: number;
  /** From the end of the fault to the first acknowledgement, ms. */
  readonly recoveredWithinMs: number;
  /** The outage is longer than the replacement timeout: I/O errors must come, and only then. */
  readonly ioErrors?: boolean;
  /** A line of the log that must be there. */
  readonly logs?: RegExp;
  readonly run: (stage: Stage) => Promise<void>;
}

export interface Row {
  readonly fault: string;
  readonly way: string;
  readonly load: string;
  readonly outcome: string;
  readonly asExpected: boolean;
  readonly problems: readonly string[];
  readonly end: string | null;
  readonly detectedMs: number | null;
  readonly recoveredMs: number | null;
  readonly longestStallMs: number;
  readonly writesAcknowledged: number;
  readonly writesFailed: number;
  readonly bytesVerified: number;
  readonly lineSeconds: number;
}
