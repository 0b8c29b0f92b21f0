import { expect } from 'chai';
import { withAdvice } from '../../../daemon/cli/advice.ts';
import { UsageError } from '../../../daemon/cli/daemon-arguments.ts';

describe('what iserctl says to do next', () => {
  for (const [message, hint] of [
    ['no login in time: 10.0.0.5:1: connect-refused', /nobody listens there/],
    ['no login in time: 10.0.0.5:3260: login timeout', /iserctl doctor/],
    ['target not found', /iserctl discover/],
    ['authentication failure', /user and secret/],
    ['service unavailable (or no such target)', /iserctl discover/],
  ] as const) {
    it(`about "${message}"`, () => {
      const advised = withAdvice(new Error(message));
      expect(advised.startsWith(`${message}; `)).to.equal(true);
      expect(advised).to.match(hint);
    });
  }

  it('is nothing more where the message says so itself', () => {
    const message = '/dev/nbd0 is in use: use --force; connect-refused';
    expect(withAdvice(new Error(message))).to.equal(message);
  });

  it('is nothing about a list of problems', () => {
    expect(withAdvice(new Error('a: ENOENT\nb: ENOENT'))).to.equal('a: ENOENT\nb: ENOENT');
  });

  it('is to read the help about a command line', () => {
    expect(withAdvice(new UsageError('Unknown argument: x'))).to.equal(
      'Unknown argument: x; see "iserctl --help"',
    );
    expect(withAdvice(new UsageError('which? see --help'))).to.equal('which? see --help');
  });
});
