import { expect } from 'chai';
import { CommandWindow } from '../../../../src/iscsi/command-window.ts';

function windowAt(cmdSn: number): CommandWindow {
  const window = new CommandWindow();
  window.reset(cmdSn);
  return window;
}

describe('command window', () => {
  it('is one command wide until the target says otherwise', () => {
    const window = windowAt(7);
    expect(window.isOpen).to.equal(true);
    window.take();
    expect(window.isOpen).to.equal(false);
  });

  it('lets the first command through when the last login response has ExpCmdSN = CmdSN + 1', () => {
    const window = windowAt(7);
    window.update(8, 7);
    expect(window.isOpen).to.equal(true);
    expect(window.expCmdSn).to.equal(7);
  });

  it('drops both numbers when MaxCmdSN is below ExpCmdSN - 1', () => {
    const window = windowAt(7);
    window.update(7, 20);
    window.update(30, 28);
    expect([window.expCmdSn, window.maxCmdSn]).to.deep.equal([7, 20]);
  });

  it('never shrinks', () => {
    const window = windowAt(7);
    window.update(7, 20);
    window.update(7, 10);
    expect(window.maxCmdSn).to.equal(20);
  });

  it('goes on across the end of the number range', () => {
    const window = windowAt(0xfffffffe);
    window.update(0xfffffffe, 1);
    const taken: number[] = [];
    while (window.isOpen) taken.push(window.take());
    expect(taken).to.deep.equal([0xfffffffe, 0xffffffff, 0, 1]);
    window.update(2, 1);
    expect(window.expCmdSn).to.equal(2);
  });

  it('counts statuses out of step, and does not go back', () => {
    const window = windowAt(1);
    window.startStatus(0xffffffff);
    expect(window.expStatSn).to.equal(0);
    window.acknowledge(0);
    window.acknowledge(5);
    window.acknowledge(2);
    expect(window.expStatSn).to.equal(6);
    expect(window.statSnJumps).to.equal(2);
  });
});
