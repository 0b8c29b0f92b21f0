import { expect } from 'chai';
import { forget, keepSecret } from '../../../daemon/config/secret.ts';
import { createLogger, isJournal } from '../../../daemon/logging.ts';
import { FakeTimers } from '../../helpers/fake-timers.ts';

/** What a logger makes of one entry: its format alone, without a terminal. */
function line(level: string, underJournal: boolean, message: string, fields: object = {}): string {
  const { format } = createLogger('debug', underJournal);
  const info = format.transform({ level, message, ...fields }) as Record<symbol, string>;
  return info[Symbol.for('message')];
}

describe('a log line', () => {
  it('carries time and level on a terminal', () => {
    expect(line('warn', false, 'careful')).to.match(/^\d{4}-\d\d-\d\dT[\d:.]+Z warn: careful$/);
  });

  it('carries the priority for journald, which has its own time', () => {
    expect(line('error', true, 'broken')).to.equal('<3>broken');
    expect(line('info', true, 'well')).to.equal('<6>well');
    expect(line('debug', true, 'detail')).to.equal('<7>detail');
  });

  it('shows fields, and leaves out those that are undefined', () => {
    const fields = { volume: 'data', session: 3, device: undefined, list: [1] };
    expect(line('info', true, 'up', fields)).to.equal('<6>up volume=data session=3 list=[1]');
  });

  it('never shows what is called a secret or password', () => {
    const fields = { chapSecret: 'x7', password: 'x8', Secret_file: 'x9' };
    const text = line('info', true, 'login', fields);
    expect(text)
      .to.match(/chapSecret=\[redacted\] password=\[redacted\]/)
      .and.not.to.match(/x[789]/);
  });

  it('never shows the secret of a URL, in message or field', () => {
    const url = 'iscsi://joe%sesame@10.0.0.5/iqn.2026-11.test:d/0';
    const text = line('error', true, `cannot open ${url}`, { url, nested: { url } });
    expect(text).to.include('iscsi://joe@10.0.0.5/').and.not.to.include('sesame');
  });

  it('below the level is not written', () => {
    const logger = createLogger('warn', true);
    expect(logger.isLevelEnabled('info')).to.equal(false);
    expect(logger.isLevelEnabled('error')).to.equal(true);
  });

  it('never shows a secret that the process keeps, wherever it comes from', () => {
    const secret = keepSecret(new TextEncoder().encode('open sesame 42'));
    try {
      const text = line('warn', true, 'the target says "open sesame 42"', {
        key: 'open sesame 42!',
      });
      expect(text).to.equal('<4>the target says "[redacted]" key=[redacted]!');
    } finally {
      forget(secret);
    }
    expect(line('info', true, 'open sesame 42')).to.equal('<6>open sesame 42');
  });

  it('is one line, whatever a peer puts into a field', () => {
    const text = line('warn', true, 'reject', { detail: 'a\n<0>forged\x1b' });
    expect(text).to.equal('<4>reject detail=a\\n<0>forged\\u001b');
  });
});

describe('repeats of a log line', () => {
  /** What comes out of a logger, without its times. */
  function logged(
    timers: FakeTimers,
    say: (logger: ReturnType<typeof createLogger>) => void,
  ): string[] {
    const lines: string[] = [];
    const logger = createLogger('debug', true, timers);
    logger.transports[0].log = (info: Record<symbol, string>, next: () => void) => {
      lines.push(info[Symbol.for('message')]);
      next();
    };
    say(logger);
    timers.advance(60_000);
    return lines;
  }

  it('are counted, apart for each volume and session', () => {
    const lines = logged(new FakeTimers(), (logger) => {
      for (let i = 0; i < 67; i++)
        logger.warn('login failed', { volume: 'a', session: 1, delayMs: i });
      logger.warn('login failed', { volume: 'a', session: 2, delayMs: 7 });
    });
    expect(lines).to.have.lengthOf(12);
    expect(lines[10]).to.equal('<4>login failed volume=a session=2 delayMs=7');
    expect(lines[11]).to.equal(
      '<4>login failed: repeated 57 times in 60 s volume=a session=1 delayMs=66',
    );
  });

  it('with other words are no repeats', () => {
    const lines = logged(new FakeTimers(), (logger) => {
      for (let i = 0; i < 20; i++) logger.info('serving', { volume: `v${i}` });
    });
    expect(lines).to.have.lengthOf(20);
  });

  it('are counted for children of the logger, too', () => {
    const lines = logged(new FakeTimers(), (logger) => {
      const child = logger.child({ volume: 'a' });
      for (let i = 0; i < 12; i++) child.error('broken');
    });
    expect(lines).to.have.lengthOf(11);
    expect(lines[10]).to.equal('<3>broken: repeated 2 times in 60 s volume=a');
  });
});

describe('the journal', () => {
  const stderr = { dev: 8n, ino: 4711n };

  it('is where lines go when standard error is the stream that it has made', () => {
    expect(isJournal('8:4711', stderr)).to.equal(true);
  });

  it('is not, when standard error goes elsewhere than where the service’s went', () => {
    expect(isJournal('8:4712', stderr)).to.equal(false);
    expect(isJournal(undefined, stderr)).to.equal(false);
  });
});
