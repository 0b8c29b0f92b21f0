import { expect } from 'chai';
import fc from 'fast-check';
import { TaskList } from '../../../../src/iscsi/task-list.ts';

const capacity = 12;

function contents(list: TaskList): number[] {
  const tasks: number[] = [];
  for (let task = list.first; task !== -1; task = list.next(task)) tasks.push(task);
  return tasks;
}

describe('task list', () => {
  it('does what a sorted array does', () => {
    const step = fc.record({
      task: fc.nat(capacity - 1),
      order: fc.integer({ min: 0, max: 1000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const list = new TaskList(capacity);
        const order = new Float64Array(capacity);
        let expected: number[] = [];
        for (const { task, order: place } of steps) {
          if (expected.includes(task)) {
            list.remove(task);
            expected = expected.filter((other) => other !== task);
          } else {
            // Orders are unique, as submit numbers are.
            order[task] = place + task / 100;
            list.insert(task, order);
            expected = [...expected, task].sort((a, b) => order[a] - order[b]);
          }
          expect(contents(list)).to.deep.equal(expected);
          expect(list.size).to.equal(expected.length);
          expect(list.last).to.equal(expected.at(-1) ?? -1);
        }
      }),
    );
  });

  it('refuses to hold a task twice or to give up one that it does not hold', () => {
    const list = new TaskList(2);
    list.append(1);
    expect(() => {
      list.append(1);
    }).to.throw('already');
    expect(() => {
      list.remove(0);
    }).to.throw('not in this list');
  });
});
