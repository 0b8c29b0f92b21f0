/** What a check of `iserctl doctor` has found out. */

/** `note`: works, but somebody may want to know; `wrong`: what is configured or asked for does not work. */
export type Level = 'ok' | 'note' | 'wrong';

export interface Finding {
  readonly level: Level;
  /** One sentence, without a full stop. */
  readonly message: string;
  /** What to do about it. */
  readonly cure?: string;
}

export const ok = (message: string): Finding => ({ level: 'ok', message });

export const note = (message: string, cure?: string): Finding => ({
  level: 'note',
  message,
  ...(cure === undefined ? {} : { cure }),
});

export const wrong = (message: string, cure: string): Finding => ({
  level: 'wrong',
  message,
  cure,
});

/** Of something that only matters when it is wanted. */
export function wanted(isWanted: boolean, message: string, cure: string): Finding {
  return isWanted ? wrong(message, cure) : note(message, cure);
}

/** What the configuration and the URLs of the command line need. */
export interface Wants {
  /** A volume or URL over RDMA. */
  readonly iser: boolean;
  /** A volume with a kernel device. */
  readonly device: boolean;
  /** Registrations with on-demand paging. */
  readonly odp: boolean;
}
