import { expect } from 'chai';
import { parseCounts } from '../../bench/crossings/counting.ts';

describe('counts of system calls', () => {
  it('are those that perf prints, without what was never called', () => {
    const text = [
      '1200,,raw_syscalls:sys_enter,1000,100.00,,',
      '700,,syscalls:sys_enter_sendmsg,1000,100.00,,',
      '0,,syscalls:sys_enter_writev,1000,100.00,,',
      '',
    ].join('\n');
    expect(parseCounts(text)).to.deep.equal({ all: 1200, named: { sendmsg: 700 } });
  });

  it('are refused when perf could not count', () => {
    expect(() => parseCounts('<not counted>,,raw_syscalls:sys_enter,0,0,,\n')).to.throw(
      'perf has not counted raw_syscalls:sys_enter: <not counted>',
    );
    expect(() => parseCounts('perf: no permission\n')).to.throw('perf has counted nothing');
  });
});
