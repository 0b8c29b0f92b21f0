import { expect } from 'chai';
import { boxesOf, flameSpec } from '../../bench/flame/draw.ts';
import { foldStacks } from '../../bench/flame/stacks.ts';
import { svgOf } from '../../bench/render.ts';

const script = `iserd-lane0 12
\tffffffff81 do_syscall_64 ([kernel.kallsyms])
\t    7f01aa epoll_wait (/usr/lib/libc.so.6)
\t    3fb1cc JS:*submit /dist/bin/iserd.js:10:2 (/tmp/perf-11.map)

iserd-lane0 12
\t    7f01aa epoll_wait (/usr/lib/libc.so.6)
\t    3fb1cc JS:*submit /dist/bin/iserd.js:10:2 (/tmp/perf-11.map)

node 11
\t    7f02bb [unknown] (/usr/bin/node)
`;

describe('bench flame graph', () => {
  it('folds samples by thread, caller and callee', () => {
    expect(foldStacks(script)).to.deep.equal({
      name: 'all',
      samples: 3,
      children: [
        {
          name: 'iserd-lane0',
          samples: 2,
          children: [
            {
              name: 'submit [js]',
              samples: 2,
              children: [
                {
                  name: 'epoll_wait',
                  samples: 2,
                  children: [{ name: 'do_syscall_64 [k]', samples: 1, children: [] }],
                },
              ],
            },
          ],
        },
        { name: 'node', samples: 1, children: [{ name: '[node]', samples: 1, children: [] }] },
      ],
    });
  });

  it('gives callees their share of the caller’s width, and leaves out what cannot be seen', () => {
    const leaf = (name: string, samples: number) => ({ name, samples, children: [] });
    const boxes = boxesOf({
      name: 'all',
      samples: 10_000,
      children: [leaf('a', 7500), leaf('b', 2499), leaf('c', 1)],
    });
    const rounded = boxes.map(({ from, to, depth }) => [Math.round(from), Math.round(to), depth]);
    expect(rounded).to.deep.equal([
      [0, 1400, 0],
      [0, 1050, 1],
      [1050, 1400, 1],
    ]);
  });

  it('is drawn with names and shares', async () => {
    const svg = await svgOf(flameSpec(foldStacks(script), '4 KiB', 'on a machine'));
    expect(svg).to.include('>submit [js] 66.7 %<').and.to.include('>4 KiB<');
  });
});
