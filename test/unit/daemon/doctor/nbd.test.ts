import { expect } from 'chai';
import { checkAbandoned, checkNbd } from '../../../../daemon/doctor/nbd.ts';
import { FakeMachine } from '../../../helpers/fake-machine.ts';

const wants = { iser: false, device: true, odp: false };
const nobody = { ...wants, device: false };

const loaded = {
  '/sys/module/nbd/parameters/nbds_max': '16',
  '/dev/nbd0': '',
  '/dev/nbd1': '',
  '/dev/null': '',
};

describe('doctor: nbd', () => {
  it('is content with a loaded module that answers', async () => {
    const machine = new FakeMachine(loaded);
    machine.nbds = [
      { index: 0, connected: true },
      { index: 1, connected: false },
    ];
    expect(await checkNbd(machine, wants)).to.deep.equal([
      { level: 'ok', message: 'the nbd module is loaded: 1 devices attached (nbds_max 16)' },
    ]);
  });

  it('tells a module that is not loaded from one that is not there', async () => {
    const machine = new FakeMachine();
    expect((await checkNbd(machine, wants))[0].message).to.contain('has no nbd module');
    machine.add({
      '/lib/modules/6.1.0-test/modules.dep': 'kernel/drivers/block/nbd.ko:\nkernel/x.ko:',
    });
    const [finding] = await checkNbd(machine, wants);
    expect(finding).to.include({ level: 'wrong', message: 'the nbd module is not loaded' });
    expect(finding.cure).to.contain('modprobe nbd');
    expect((await checkNbd(machine, nobody))[0].level).to.equal('note');
  });

  it('says that netlink does not answer', async () => {
    const machine = new FakeMachine(loaded);
    machine.netlinkError = new Error('genl_ctrl_resolve(nbd): not found');
    const [finding] = await checkNbd(machine, wants);
    expect(finding.level).to.equal('wrong');
    expect(finding.message).to.contain('genl_ctrl_resolve');
  });

  it('says that a device file is closed to us', async () => {
    const machine = new FakeMachine(loaded);
    machine.refusals.set('/dev/nbd1', 'EACCES');
    const findings = await checkNbd(machine, wants);
    expect(findings[1]).to.include({
      level: 'wrong',
      message: '/dev/nbd1 cannot be opened (EACCES)',
    });
  });

  it('finds devices of ours that nobody serves, and no others', () => {
    const machine = new FakeMachine({
      '/sys/block/nbd0/backend': 'iserd:a:naa.1',
      '/sys/block/nbd0/pid': '7',
      '/sys/block/nbd1/backend': 'iserd:b:naa.2',
      '/sys/block/nbd1/pid': '7',
      '/sys/block/nbd2/backend': 'somebody',
      '/sys/block/nbd2/pid': '8',
      '/sys/block/nbd3/size': '0',
      '/sys/block/sda/size': '100',
    });
    const findings = checkAbandoned(machine, new Set(['/dev/nbd1']));
    expect(findings).to.have.length(1);
    expect(findings[0].message).to.contain('/dev/nbd0 was left by an iserd');
    expect(findings[0].cure).to.contain('iserctl detach --force /dev/nbd0');
  });
});
