import { expect } from 'chai';
import { ConfigurationError } from '../../../../src/errors.ts';
import { iserCapabilities } from '../../../helpers/fake-transport.ts';
import { SessionFixture, loginTemplate, settle } from '../../../helpers/session-fixture.ts';
import { ScriptedTarget } from '../../../helpers/scripted-target.ts';

describe('session login', () => {
  it('is up after one round trip and resolves start', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    expect(fixture.transport.portal).to.deep.equal({ address: 'address of a.example', port: 3260 });
    target.login();
    await settle();
    expect(fixture.started).to.equal(true);
    expect(fixture.session.state).to.equal('up');
    expect(fixture.session.login?.tsih).to.equal(7);
  });

  it('sends its ISID, TSIH 0, and the first CmdSN in an immediate login request', async () => {
    const fixture = new SessionFixture({ firstCmdSn: 0x12345678 });
    const target = await fixture.begin();
    const request = target.login();
    expect(request.immediate).to.equal(true);
    expect([...request.bhs.subarray(8, 16)]).to.deep.equal([0x80, 1, 2, 3, 4, 5, 0, 0]);
    expect(request.cmdSn).to.equal(0x12345678);
  });

  it('has receives posted before the request that may end the login', async () => {
    const fixture = new SessionFixture({ queueDepth: 17, capabilities: iserCapabilities });
    const target = await fixture.begin();
    fixture.transport.events.onConnected();
    expect(fixture.transport.prepared?.queueDepth).to.equal(17);
    expect(fixture.transport.fullFeature).to.equal(undefined);
    target.answerLogin();
    expect(fixture.transport.fullFeature?.maxSendDataSegmentLength).to.equal(8192);
  });

  it('keeps one Initiator Task Tag for a login of several rounds', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    fixture.transport.events.onConnected();
    const first = target.takeOne();
    const bhs = target.bhs(0x23, 0x04, first.itt);
    fixture.transport.deliver(bhs, new TextEncoder().encode('MaxBurstLength=262144\0'));
    const second = target.takeOne();
    expect(second.itt).to.equal(first.itt);
    expect(second.expStatSn).to.equal(101);
  });

  it('rejects start with a coded error when the refusal is permanent', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.login({ statusClass: 2, statusDetail: 1 });
    fixture.timers.advance(0);
    await settle();
    expect(fixture.startError).to.have.property('code', 'LOGIN_AUTHENTICATION_FAILED');
    expect(fixture.startError).to.have.property('statusDetail', 1);
    expect(fixture.session.state).to.equal('closed');
    expect(fixture.transport.disconnected?.end).to.equal('login-failed');
  });

  it('tries again after a refusal that may pass', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.login({ statusClass: 3, statusDetail: 1 });
    const next = await fixture.nextConnection();
    next.login();
    await settle();
    expect(fixture.started).to.equal(true);
    expect(fixture.session.statistics.loginFailures).to.equal(1);
  });

  it('retries even a permanent refusal once it has been up', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.close('peer-closed');
    const second = await fixture.nextConnection();
    second.login({ statusClass: 2, statusDetail: 3 });
    const third = await fixture.nextConnection(1000);
    third.login();
    expect(fixture.session.state).to.equal('up');
  });

  it('follows a redirect at once', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.login({ statusClass: 1, statusDetail: 1, text: 'TargetAddress=[2001:db8::7]:3261\0' });
    const next = await fixture.nextConnection();
    expect(next.transport.portal).to.deep.equal({ address: 'address of 2001:db8::7', port: 3261 });
  });

  it('does not follow redirects in a circle for ever', async () => {
    const fixture = new SessionFixture({ maxRedirects: 2 });
    let target = await fixture.begin();
    for (let hop = 0; hop < 3; hop++) {
      target.login({ statusClass: 1, statusDetail: 1, text: 'TargetAddress=b.example\0' });
      target = await fixture.nextConnection();
    }
    expect(
      fixture.kinds('redirected').map((event) => 'followed' in event && event.followed),
    ).to.deep.equal([true, true, false]);
    expect(target.transport.portal?.address).to.equal('address of a.example');
  });

  it('gives up a login that does not end within the login timeout, above the 15 s of targets', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.transport.events.onConnected();
    fixture.timers.advance(29_000);
    expect(target.transport.disconnected).to.equal(undefined);
    fixture.timers.advance(1000);
    expect(target.transport.disconnected?.end).to.equal('login-timeout');
  });

  it('calls a connection that never comes a connect timeout', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    fixture.timers.advance(30_000);
    expect(target.transport.disconnected?.end).to.equal('connect-timeout');
  });

  it('logs in again at once when the target closes right after login without a word', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.login();
    fixture.submit();
    target.transport.close('peer-closed');
    const second = await fixture.nextConnection();
    second.login();
    second.transport.close('peer-closed');
    await fixture.nextConnection();
    const plans = fixture.kinds('reconnecting');
    expect(plans.map((event) => 'afterLogin' in event && event.afterLogin)).to.deep.equal([
      true,
      true,
    ]);
  });

  it('does not take the sixth such loss in a row for a race', async () => {
    const fixture = new SessionFixture();
    let target = await fixture.begin();
    for (let loss = 0; loss < 6; loss++) {
      target.login();
      target.transport.close('peer-closed');
      target = await fixture.nextConnection();
    }
    target.login();
    target.transport.close('peer-closed');
    fixture.timers.advance(900);
    await settle();
    expect(fixture.transport).to.equal(target.transport);
    await fixture.nextConnection(200);
  });

  it('ends start with START_TIMEOUT when no login succeeds in time', async () => {
    const fixture = new SessionFixture({ timeouts: { startTimeoutMs: 5000 } });
    const target = await fixture.begin();
    target.transport.close('connect-refused');
    for (let second = 0; second < 6; second++) {
      fixture.timers.advance(1000);
      await settle();
      if (!fixture.transport.closed) fixture.transport.close('connect-refused');
    }
    await settle();
    expect(fixture.startError).to.have.property('code', 'START_TIMEOUT');
  });

  it('ends start with SESSION_CLOSED when it is closed meanwhile', async () => {
    const fixture = new SessionFixture();
    await fixture.begin();
    const closed = fixture.session.close();
    fixture.timers.advance(0);
    await closed;
    await settle();
    expect(fixture.startError).to.have.property('code', 'SESSION_CLOSED');
  });

  it('tries again when a name cannot be resolved, with the next portal', async () => {
    const asked: string[] = [];
    const fixture = new SessionFixture({
      portals: [
        { host: 'lost.example', port: 1 },
        { host: 'b.example', port: 2 },
      ],
      resolve: (host) => {
        asked.push(host);
        return host === 'lost.example'
          ? Promise.reject(new Error('NXDOMAIN'))
          : Promise.resolve(['b']);
      },
    });
    void fixture.session.start();
    await settle();
    const target = await fixture.nextConnection();
    expect(asked).to.deep.equal(['lost.example', 'b.example']);
    target.login();
    expect(fixture.kinds('logged-in')).to.have.length(1);
    expect(fixture.kinds('no-portal')).to.have.length(1);
  });

  it('tries again when a transport cannot be made', async () => {
    const fixture = new SessionFixture();
    fixture.failNextTransport();
    void fixture.session.start();
    await settle();
    await fixture.nextConnection();
    expect(fixture.session.state).to.equal('connecting');
  });

  it('refuses at start a configuration that can never log in', async () => {
    const fixture = new SessionFixture({
      login: { ...loginTemplate, initiatorName: 'not an iSCSI name' },
    });
    void fixture.session.start().catch((error: unknown) => {
      fixture.startError = error as Error;
    });
    await settle();
    await settle();
    expect(fixture.session.state).to.equal('closed');
    expect(fixture.startError).to.be.instanceOf(ConfigurationError);
  });

  it('drops the connection when another PDU than a Login Response comes during login', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.transport.events.onConnected();
    target.nopIn();
    expect(target.transport.disconnected?.end).to.equal('protocol-error');
    expect(target.transport.disconnected?.detail).to.contain('0x20');
  });

  it('waits for a login to end before it closes, and logs out then', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.transport.events.onConnected();
    const closed = fixture.session.close();
    fixture.timers.advance(10_000);
    expect(target.transport.disconnected).to.equal(undefined);
    target.answerLogin();
    const logout = target.takeOne();
    expect(logout.opcode).to.equal(0x06);
    target.logoutResponse(logout);
    fixture.timers.advance(0);
    await closed;
    expect(fixture.session.state).to.equal('closed');
  });

  const encode = (text: string) => new TextEncoder().encode(text);
  const chapLogin = {
    ...loginTemplate,
    chap: { user: 'u', secret: encode('a secret of 16 b') },
  };

  /** Up to our CHAP response, which is left unanswered. */
  function challenge(target: ScriptedTarget, algorithm: number): void {
    target.transport.events.onConnected();
    const offer = target.takeOne();
    expect(new TextDecoder().decode(offer.data)).to.contain('AuthMethod=CHAP');
    target.transport.deliver(target.bhs(0x23, 0x00, offer.itt), encode('AuthMethod=CHAP\0'));
    const list = target.takeOne();
    expect(new TextDecoder().decode(list.data)).to.match(/CHAP_A=.*5/);
    const keys = `CHAP_A=${algorithm}\0CHAP_I=1\0CHAP_C=0x${'ab'.repeat(16)}\0`;
    target.transport.deliver(target.bhs(0x23, 0x00, list.itt), encode(keys));
  }

  it('takes a connection closed instead of an answer to CHAP for a lost refusal, the second time for good', async () => {
    const fixture = new SessionFixture({ login: chapLogin });
    const target = await fixture.begin();
    challenge(target, 6);
    target.transport.close('peer-closed');
    const second = await fixture.nextConnection();
    challenge(second, 6);
    second.transport.close('peer-closed');
    await settle();
    expect(fixture.startError).to.have.property('code', 'LOGIN_AUTHENTICATION_UNANSWERED');
    expect(fixture.startError?.message).to.contain('probably refused the authentication');
    expect(fixture.session.state).to.equal('closed');
  });

  it('tries again after one such close', async () => {
    const fixture = new SessionFixture({ login: chapLogin });
    const target = await fixture.begin();
    challenge(target, 6);
    target.transport.close('peer-closed');
    const second = await fixture.nextConnection();
    second.transport.close('connect-refused');
    const third = await fixture.nextConnection(1000);
    challenge(third, 6);
    const operational = (request: number) => {
      third.transport.deliver(third.bhs(0x23, 0x81, request), encode(''));
    };
    operational(third.takeOne().itt);
    third.answerLogin();
    await settle();
    expect(fixture.session.state).to.equal('up');
  });

  it('says what the target has said, when later attempts do not even get a connection', async () => {
    const fixture = new SessionFixture({ login: chapLogin, timeouts: { startTimeoutMs: 5000 } });
    const target = await fixture.begin();
    challenge(target, 6);
    target.answerLogin({ statusClass: 2, statusDetail: 1 });
    for (let second = 0; second < 6; second++) {
      fixture.timers.advance(1000);
      await settle();
      if (!fixture.transport.closed) fixture.transport.close('connect-refused');
    }
    await settle();
    expect(fixture.startError).to.have.property('code', 'START_TIMEOUT');
    expect(fixture.startError?.message).to.contain('authentication failure');
  });

  it('falls back to the CHAP algorithm that the login engine asks for', async () => {
    const fixture = new SessionFixture({ login: chapLogin });
    const target = await fixture.begin();
    challenge(target, 6);
    target.answerLogin({ statusClass: 2, statusDetail: 1 });
    const second = await fixture.nextConnection();
    second.transport.events.onConnected();
    const offer2 = second.takeOne();
    second.transport.deliver(second.bhs(0x23, 0x00, offer2.itt), encode('AuthMethod=CHAP\0'));
    expect(new TextDecoder().decode(second.takeOne().data)).to.contain('CHAP_A=5\0');
    expect(new ScriptedTarget(second.transport).take()).to.have.length(2);
  });
});
