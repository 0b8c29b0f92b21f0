import { expect } from 'chai';
import * as layout from '../../../src/reactor/layout.ts';
import { loadNative } from '../../../src/reactor/native.ts';

/** Every constant that layout.ts exports, by the name that native code uses. */
function flatten(): Record<string, number> {
  const constants: Record<string, number> = {};
  for (const [name, value] of Object.entries(layout)) {
    if (typeof value === 'number') constants[name] = value;
    else
      for (const [member, number] of Object.entries(value)) constants[`${name}.${member}`] = number;
  }
  return constants;
}

describe('reactor layout', () => {
  it('is the same in TypeScript and in native code', () => {
    expect(loadNative().layout()).to.deep.equal(flatten());
  });
});
