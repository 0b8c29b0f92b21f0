import { expect } from 'chai';
import { CheckedState } from '../../src/checked-state.ts';

describe('a checked state', () => {
  const table = { up: ['down'], down: [] } as const;

  it('follows the table', () => {
    const state = new CheckedState<'up' | 'down'>('lamp', table, 'up');
    state.enter('down');
    expect(state.current).to.equal('down');
  });

  it('names both states of a transition that is not in the table', () => {
    const state = new CheckedState<'up' | 'down'>('lamp', table, 'down');
    expect(() => {
      state.enter('up');
    }).to.throw('lamp: down -> up');
  });
});
