import { expect } from 'chai';
import { createLogger } from '../../../daemon/logging.ts';

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
});
