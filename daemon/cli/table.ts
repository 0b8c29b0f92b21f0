/** Rows as aligned columns; numbers to the right, and texts of the columns named in `toTheRight`: those that are numbers with units. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  toTheRight: readonly string[] = [],
): string {
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => String(row[column]).length)),
  );
  const isRight = header.map(
    (name, column) =>
      toTheRight.includes(name) ||
      (rows.length > 0 && rows.every((row) => typeof row[column] === 'number')),
  );
  const line = (cells: readonly (string | number)[]): string =>
    cells
      .map((cell, column) => {
        const text = String(cell);
        return isRight[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]);
      })
      .join('  ')
      .trimEnd();
  return [line(header), ...rows.map(line)].join('\n');
}

/** `key: value` lines with aligned values. */
export function formatFields(fields: Readonly<Record<string, string | number | boolean>>): string {
  const width = Math.max(...Object.keys(fields).map((key) => key.length));
  return Object.entries(fields)
    .map(([key, value]) => `  ${key.padEnd(width)}  ${String(value)}`)
    .join('\n');
}
