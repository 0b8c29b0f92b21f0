/** Who is measured: iserd of every tree, and qemu-nbd, over both transports. */
import { join } from 'node:path';
import { labelOf, type ServerKind } from '../field.ts';
import { startIserd } from '../servers/iserd.ts';
import { startQemuNbd } from '../servers/qemu-nbd.ts';
import type { Server, Transport, Volumes } from '../servers/server.ts';
import type { InstructionOptions, Tree } from './options.ts';

export interface Contender {
  readonly label: string;
  readonly transport: Transport;
  start(volumes: Volumes): Promise<Server>;
}

/** The first one over a transport is what the others are compared with. What may leave a wreck at the target comes last. */
export function contendersOf({
  trees,
  server,
}: Pick<InstructionOptions, 'trees' | 'server'>): Contender[] {
  const transports: readonly Transport[] = ['TCP', 'iSER'];
  const ours = transports.flatMap((transport) =>
    trees.map((tree) => iserdOf(tree, transport, trees.length > 1)),
  );
  const theirs = transports.map((transport) => ({
    label: labelOf({ name: 'qemu-nbd', transport }),
    transport,
    start: startQemuNbd,
  }));
  return [...ours, ...theirs].filter(({ label }) => label.includes(server));
}

function iserdOf(tree: Tree, transport: Transport, isNamed: boolean): Contender {
  const kind: ServerKind = {
    name: 'iserd',
    transport,
    ...(isNamed ? { variant: { name: tree.name, configuration: '' } } : {}),
  };
  return {
    label: labelOf(kind),
    transport,
    start: (volumes) => startIserd(volumes, kind.variant, programOf(tree)),
  };
}

/** A wrapper that puts the tree's program in the place of this repository's: its arguments are the interpreter, our program, and ours. */
function programOf({ directory }: Tree): string[] {
  const program = join(directory, 'dist/bin/iserd.js');
  return ['sh', '-c', 'interpreter=$1; shift 2; exec "$interpreter" "$0" "$@"', program];
}
