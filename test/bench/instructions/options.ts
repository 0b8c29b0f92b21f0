import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { repository } from '../../helpers/programs.ts';

const defaultRequests = 2000;

export const usage = `node --import tsx test/bench/instructions.ts [OPTION]...
  --tree NAME=DIRECTORY   a built checkout whose iserd to measure, may be given several times (default this one); not under /tmp,
                          /run or /dev, of which the guest has its own
  --rounds N              each with servers started afresh, default 3
  --requests N            of 4 KiB in one pass of a workload, a tenth as many of 256 KiB; default ${defaultRequests}
  --only WORD             workloads with this in their name: "QD32", "random read"
  --server WORD           servers with this in their name: "iserd", "TCP", the name of a tree`;

/** A directory with dist/ and native/. */
export interface Tree {
  readonly name: string;
  readonly directory: string;
}

export interface InstructionOptions {
  readonly trees: readonly Tree[];
  readonly rounds: number;
  readonly requests: number;
  readonly only: string;
  readonly server: string;
}

/** @throws Error that names the option */
export function parseOptions(argv: readonly string[]): InstructionOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      tree: { type: 'string', multiple: true, default: [`here=${repository}`] },
      rounds: { type: 'string', default: '3' },
      requests: { type: 'string', default: `${defaultRequests}` },
      only: { type: 'string', default: '' },
      server: { type: 'string', default: '' },
    },
  });
  const { only, server } = values;
  return {
    trees: treesOf(values.tree),
    rounds: count('rounds', values.rounds),
    requests: count('requests', values.requests),
    only,
    server,
  };
}

function treesOf(texts: readonly string[]): Tree[] {
  const trees = texts.map((text) => {
    const match = /^([\w.-]+)=(.+)$/.exec(text);
    if (match === null) throw new Error(`--tree: "${text}" is not NAME=DIRECTORY`);
    const [, name, directory] = match;
    return { name, directory: resolve(directory) };
  });
  // This tree is shown to the guest wherever it lies.
  const hidden = trees.find(
    ({ directory }) =>
      /^\/(tmp|run|dev)\//.test(`${directory}/`) && directory !== resolve(repository),
  );
  if (hidden !== undefined) throw new Error(`--tree: the guest does not see ${hidden.directory}`);
  if (new Set(trees.map(({ name }) => name)).size < trees.length)
    throw new Error('--tree: every tree needs a name of its own');
  return trees;
}

function count(name: string, text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new Error(`--${name}: "${text}" is no count`);
  return Number(text);
}
