/** What standard output can show. */
export interface Terminal {
  /** Redrawing makes sense. */
  readonly isTty: boolean;
  /** Characters per line; Infinity where nobody breaks lines. */
  readonly columns: number;
  /** Lines; Infinity where nobody counts them. */
  readonly rows: number;
  /** Whether it shows more than ASCII. */
  readonly unicode: boolean;
}

export function standardOutput(
  stdout: {
    readonly isTTY?: boolean;
    readonly columns?: number;
    readonly rows?: number;
  } = process.stdout,
  environment: NodeJS.ProcessEnv = process.env,
): Terminal {
  const isTty = stdout.isTTY === true;
  // locale(7): the first of these that is set and not empty counts.
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '';
  return {
    isTty,
    columns: (isTty && stdout.columns) || Infinity,
    rows: (isTty && stdout.rows) || Infinity,
    unicode: isTty && /utf-?8/i.test(locale) && environment['TERM'] !== 'dumb',
  };
}
