/**
 * Line of a key in a TOML text, for messages: the parser keeps no positions. Knows tables, arrays of tables and plain keys,
 * which is all the configuration has. Returns the line of the closest enclosing thing it finds, 1-based, or undefined.
 */
export function locateKey(text: string, path: readonly PropertyKey[]): number | undefined {
  const [table, ...rest] = path;
  const index = typeof rest[0] === 'number' ? rest[0] : undefined;
  const key = rest.at(index === undefined ? 0 : 1);
  const header = index === undefined ? `[${String(table)}]` : `[[${String(table)}]]`;
  let remaining = index ?? 0;
  let tableLine: number | undefined;
  let line = 0;
  for (const raw of text.split('\n')) {
    line++;
    const content = raw.replace(/\s+/g, '');
    if (content.startsWith('[')) {
      if (tableLine !== undefined) return tableLine;
      const inTable = content.startsWith(header);
      if (inTable && remaining-- === 0) tableLine = line;
    } else if (key !== undefined && tableLine !== undefined && isAssignment(content, key)) {
      return line;
    } else if (rest.length === 0 && tableLine === undefined && isAssignment(content, table)) {
      return line;
    }
  }
  return tableLine;
}

function isAssignment(content: string, key: PropertyKey | undefined): boolean {
  const name = String(key);
  return content.startsWith(`${name}=`) || content.startsWith(`"${name}"=`);
}
