import { expect } from 'chai';
import { checkPortal, type Network, type PortalTrial } from '../../../../daemon/doctor/portals.ts';
import { portalTrials, type Logins, type TriedSession } from '../../../../daemon/doctor/trials.ts';
import { CodedError } from '../../../../src/errors.ts';
import { loginStatusOf } from '../../../../src/iscsi/login-status.ts';

const network: Network = {
  resolve: () => Promise.resolve(['10.0.0.5']),
  reach: () => Promise.resolve(' (TCP, from 10.0.0.1)'),
};

const trial = (changes: Partial<PortalTrial> = {}): PortalTrial => ({
  name: 'iscsi://target:3260',
  transport: 'tcp',
  host: 'target',
  port: 3260,
  initiatorName: 'iqn.2026-11.test:us',
  logins: [],
  ...changes,
});

const refusedBy = (error: Error): PortalTrial =>
  trial({ logins: [{ name: 'login to iqn.x LUN 0', attempt: () => Promise.reject(error) }] });

describe('doctor: portals', () => {
  it('goes all the way to the login', async () => {
    const logins = [{ name: 'discovery', attempt: () => Promise.resolve('iqn.x') }];
    expect(await checkPortal(network, trial({ logins }))).to.deep.equal([
      { level: 'ok', message: 'iscsi://target:3260 can be reached (TCP, from 10.0.0.1)' },
      { level: 'ok', message: 'iscsi://target:3260: discovery works: iqn.x' },
    ]);
  });

  it('stops at a name that cannot be resolved', async () => {
    const findings = await checkPortal(
      { ...network, resolve: () => Promise.reject(new Error('getaddrinfo ENOTFOUND target')) },
      trial(),
    );
    expect(findings).to.have.length(1);
    expect(findings[0].message).to.contain('the name target cannot be resolved');
  });

  it('stops at a portal that cannot be reached', async () => {
    const closed = { ...network, reach: () => Promise.reject(new Error('no RDMA device')) };
    const [tcp] = await checkPortal(closed, trial());
    expect(tcp.level).to.equal('wrong');
    expect(tcp.cure).to.contain('10.0.0.5 port 3260');
    const [iser] = await checkPortal(closed, trial({ transport: 'iser' }));
    expect(iser.cure).to.contain('RDMA device on both sides');
  });

  const refusals: readonly (readonly [string, Error, RegExp])[] = [
    [
      'an ACL',
      new CodedError('login', loginStatusOf(2, 2).message),
      /let the initiator name iqn\.2026-11\.test:us in/,
    ],
    [
      'a wrong secret',
      new CodedError('login', loginStatusOf(2, 1).message),
      /chap_user and the secret/,
    ],
    ['a wrong name', new CodedError('login', loginStatusOf(2, 3).message), /iserctl discover/],
    ['a LUN that is not there', new CodedError('probe', 'no logical unit at this LUN'), /the LUN/],
    ['anything else', new Error('target out of resources'), /log of the target/],
  ];
  for (const [what, error, cure] of refusals) {
    it(`says what to do about ${what}`, async () => {
      const findings = await checkPortal(network, refusedBy(error));
      expect(findings[1].level).to.equal('wrong');
      expect(findings[1].message).to.contain(`login to iqn.x LUN 0 fails: ${error.message}`);
      expect(findings[1].cure).to.match(cure);
    });
  }

  it('thinks of TCP when an iSER portal refuses', async () => {
    const { logins } = refusedBy(new CodedError('x', '10.0.0.5:3260: connect-refused'));
    const findings = await checkPortal(network, trial({ transport: 'iser', logins }));
    expect(findings[1].cure).to.contain('try iscsi://');
  });

  describe('trials', () => {
    const logins: Logins = {
      discover: (session) => {
        expect(session).not.to.have.property('targetName');
        return Promise.resolve([{ targetName: 'iqn.a', portals: [] }]);
      },
      inspect: () => Promise.reject(new Error('not now')),
    };
    const session = (portals: TriedSession['portals'], targetName?: string): TriedSession => ({
      volume: 'v',
      transport: 'iser',
      portals,
      targetName,
      lun: targetName === undefined ? undefined : 0,
      initiatorName: 'iqn.2026-11.test:us',
      isid: new Uint8Array(6),
      headerDigest: 'none',
      dataDigest: 'none',
      readOnly: false,
      replacementTimeoutMs: 1,
      commandTimeoutMs: 1,
      loginTimeoutMs: 1,
      startTimeoutMs: 1,
      nopIntervalMs: 1,
      nopTimeoutMs: 1,
    });
    const a = { host: '10.0.0.5', port: 3260 };
    const b = { host: 'fd00::5', port: 3261 };

    it('are one for each portal, with a login for each session', () => {
      const trials = portalTrials([session([a, b], 'iqn.a'), session([a], 'iqn.b')], logins);
      expect(trials.map((one) => [one.name, one.logins.map(({ name }) => name)])).to.deep.equal([
        ['iser://10.0.0.5:3260', ['login to iqn.a LUN 0', 'login to iqn.b LUN 0']],
        ['iser://[fd00::5]:3261', ['login to iqn.a LUN 0']],
      ]);
    });

    it('ask a portal without a LUN what it has', async () => {
      const [{ logins: all }] = portalTrials([session([a])], logins);
      expect(all[0].name).to.equal('discovery');
      expect(await all[0].attempt()).to.equal('iqn.a');
    });
  });
});
