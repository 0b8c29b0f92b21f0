import { expect } from 'chai';
import { StartTls, type StartTlsStep } from '../../../daemon/tls/starttls.ts';
import { serverGreeting } from '../../../src/nbd/greeting.ts';
import { Option, OptionReply } from '../../../src/nbd/constants.ts';
import { Handshake } from '../../../src/nbd/handshake.ts';
import { defaultLimits } from '../../../src/nbd/limits.ts';

const flags = (value = 3): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

function option(number: number, data = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 'latin1');
  header.writeUInt32BE(number, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

/** Types of the replies in the bytes. */
function replyTypes(output: Uint8Array): number[] {
  const bytes = Buffer.from(output);
  const types: number[] = [];
  for (let at = 0; at < bytes.length; at += 20 + bytes.readUInt32BE(at + 16))
    types.push(bytes.readUInt32BE(at + 12));
  return types;
}

function said(...bytes: readonly Buffer[]): StartTlsStep {
  return new StartTls().receive(Buffer.concat(bytes));
}

describe('an NBD handshake before TLS', () => {
  it('begins with the very greeting that comes again after TLS', () => {
    const handshake = new Handshake({ find: () => undefined, list: () => [] }, defaultLimits);
    expect(Buffer.from(serverGreeting()).equals(Buffer.from(handshake.greeting()))).to.equal(true);
  });

  it('goes on with TLS after NBD_OPT_STARTTLS, and keeps the client’s flags', () => {
    const step = said(flags(1), option(Option.startTls));
    expect(step.kind).to.equal('upgrade');
    expect(replyTypes(step.output)).to.deep.equal([OptionReply.ack]);
    expect(step.kind === 'upgrade' && Buffer.from(step.clientFlags).readUInt32BE()).to.equal(1);
  });

  it('takes what comes byte by byte', () => {
    const engine = new StartTls();
    const bytes = Buffer.concat([flags(), option(Option.list), option(Option.startTls)]);
    const steps = Array.from(bytes, (byte) => engine.receive(Buffer.of(byte)));
    expect(steps.slice(0, -1).every(({ kind }) => kind === 'more')).to.equal(true);
    expect(replyTypes(Buffer.concat(steps.map(({ output }) => output)))).to.deep.equal([
      OptionReply.errorTlsRequired,
      OptionReply.ack,
    ]);
  });

  for (const name of ['list', 'info', 'go', 'structuredReply', 'setMetaContext'] as const) {
    it(`answers ${name} with NBD_REP_ERR_TLS_REQD`, () => {
      const step = said(flags(), option(Option[name], Buffer.from('data')));
      expect(step.kind).to.equal('more');
      expect(replyTypes(step.output)).to.deep.equal([OptionReply.errorTlsRequired]);
    });
  }

  it('answers an abort, and ends', () => {
    const step = said(flags(), option(Option.abort));
    expect(step).to.include({ kind: 'close', reason: 'aborted' });
    expect(replyTypes(step.output)).to.deep.equal([OptionReply.ack]);
  });

  it('refuses data in NBD_OPT_STARTTLS', () => {
    const step = said(flags(), option(Option.startTls, Buffer.from('x')));
    expect(step.kind).to.equal('more');
    expect(replyTypes(step.output)).to.deep.equal([OptionReply.errorInvalid]);
  });

  const ends: readonly (readonly [string, readonly Buffer[], string])[] = [
    [
      'bytes that came in before TLS had begun',
      [flags(), option(Option.startTls), option(Option.go)],
      'plaintext-after-starttls',
    ],
    [
      'an export name without TLS',
      [flags(), option(Option.exportName, Buffer.from('disk'))],
      'export-name-without-tls',
    ],
    ['unknown client flags', [flags(7)], 'bad-handshake'],
    ['a client without haggling', [flags(2)], 'bad-handshake'],
    ['what is no option', [flags(), Buffer.from('GET / HTTP/1.1\r\n')], 'bad-handshake'],
    ['a long option', [flags(), option(Option.go, Buffer.alloc(5000))], 'option-too-long'],
    [
      'options without end',
      [flags(), ...Array.from({ length: 17 }, () => option(Option.list))],
      'too-many-options',
    ],
  ];
  for (const [what, bytes, reason] of ends) {
    it(`ends at ${what}`, () => {
      expect(said(...bytes)).to.include({ kind: 'close', reason });
    });
  }
});
