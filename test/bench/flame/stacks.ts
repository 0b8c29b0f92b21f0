/** What `perf script` prints, folded into a tree: a node for every function called from its parent's, with the samples in it. */

export interface Frame {
  readonly name: string;
  readonly samples: number;
  /** Most samples first. */
  readonly children: readonly Frame[];
}

interface GrowingFrame {
  readonly name: string;
  samples: number;
  readonly children: Map<string, GrowingFrame>;
}

/**
 * Of `perf script -F comm,tid,ip,sym,dso`: a line that begins at the margin opens a sample, indented ones are its frames, innermost
 * first. Below the root there is a frame for each thread's name.
 */
export function foldStacks(script: string): Frame {
  const root: GrowingFrame = { name: 'all', samples: 0, children: new Map() };
  let stack: string[] = [];
  const endSample = (): void => {
    if (stack.length > 0) add(root, stack.reverse());
    stack = [];
  };
  let thread = '';
  for (const line of script.split('\n')) {
    if (line.trim() === '') {
      if (stack.length > 0) stack.push(thread);
      endSample();
    } else if (/^\s/.test(line)) stack.push(frameName(line));
    else thread = line.trim().replace(/\s+\d+$/, '');
  }
  if (stack.length > 0) stack.push(thread);
  endSample();
  return frozen(root);
}

function add(root: GrowingFrame, outermostFirst: readonly string[]): void {
  let at = root;
  at.samples++;
  for (const name of outermostFirst) {
    let child = at.children.get(name);
    if (child === undefined) {
      child = { name, samples: 0, children: new Map() };
      at.children.set(name, child);
    }
    child.samples++;
    at = child;
  }
}

function frozen({ name, samples, children }: GrowingFrame): Frame {
  const sorted = [...children.values()].sort((a, b) => b.samples - a.samples);
  return { name, samples, children: sorted.map(frozen) };
}

/** "  7f3c… uv__io_poll (/usr/bin/node)", "  ffff… do_syscall_64 ([kernel.kallsyms])": the function, and "[k]" behind a kernel's. */
function frameName(line: string): string {
  const match = /^\s+[0-9a-f]+ (.*) \((.*)\)$/.exec(line);
  if (match === null) return line.trim();
  const [, symbol, object] = match;
  if (object.startsWith('[kernel') || object.endsWith('.ko')) return `${symbol} [k]`;
  if (symbol === '[unknown]') return `[${object.split('/').at(-1) ?? object}]`;
  return scriptFunction(symbol) ?? symbol;
}

/** V8's "JS:*submit /dist/iserd.js:10:2" (the mark says which compiler made it): "submit [js]". */
function scriptFunction(symbol: string): string | undefined {
  const match = /^(?:JS|LazyCompile|Function|Script|Eval):[~^*+]?(\S*) /.exec(symbol);
  if (match === null) return undefined;
  return `${match[1] === '' ? '(anonymous)' : match[1]} [js]`;
}
