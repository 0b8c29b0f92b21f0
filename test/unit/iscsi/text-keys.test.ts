import { expect } from 'chai';
import fc from 'fast-check';
import { ProtocolError } from '../../../src/errors.ts';
import {
  TextAccumulator,
  formatText,
  parseTextMap,
  parseTextPairs,
  quoted,
} from '../../../src/iscsi/text-keys.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const parse = (text: string) => parseTextPairs(bytes(text), 'test text');

describe('text keys', () => {
  it('are split at NUL and at the first equals sign', () => {
    expect(parse('A=1\0Bee=x=y\0C=\0')).to.deep.equal([
      ['A', '1'],
      ['Bee', 'x=y'],
      ['C', ''],
    ]);
  });

  it('may be followed by padding', () => {
    expect(parse('A=1\0\0\0')).to.deep.equal([['A', '1']]);
  });

  it('are none in an empty text', () => {
    expect(parse('')).to.deep.equal([]);
  });

  it('keep values that are not ASCII', () => {
    expect(parse('TargetAlias=Gerät\0')).to.deep.equal([['TargetAlias', 'Gerät']]);
  });

  const refusals: [text: string, code: string][] = [
    ['A=1\0B=2', 'TEXT_TRUNCATED'],
    ['A\0', 'TEXT_WITHOUT_VALUE'],
    ['=1\0', 'TEXT_KEY_NAME'],
    ['a=1\0', 'TEXT_KEY_NAME'],
    ['A b=1\0', 'TEXT_KEY_NAME'],
    [`${'A'.repeat(64)}=1\0`, 'TEXT_KEY_NAME'],
    [`A=${'x'.repeat(8193)}\0`, 'TEXT_VALUE_LENGTH'],
  ];
  for (const [text, code] of refusals) {
    it(`are refused with ${code}: ${JSON.stringify(text.slice(0, 20))}`, () => {
      expect(() => parse(text))
        .to.throw(ProtocolError)
        .with.property('code', code);
    });
  }

  it('take the longest key and value that the standard allows', () => {
    const key = 'A'.repeat(63);
    const value = 'x'.repeat(8192);
    expect(parse(`${key}=${value}\0`)).to.deep.equal([[key, value]]);
  });

  it('know the two keys that begin with a small letter', () => {
    expect(parse('iSERHelloRequired=No\0iSCSIProtocolLevel=1\0')).to.have.length(2);
  });

  it('are refused when they are not UTF-8', () => {
    expect(() => parseTextPairs(Uint8Array.of(65, 61, 0xff, 0), 'it'))
      .to.throw(ProtocolError)
      .with.property('code', 'TEXT_ENCODING');
  });

  it('are refused in a negotiation when one comes twice', () => {
    expect(() => parseTextMap(bytes('A=1\0A=1\0'), 'it')).to.throw(ProtocolError, 'A comes twice');
  });

  it('may come twice where the standard says so, and the first counts', () => {
    const keys = parseTextMap(bytes('A=1\0A=2\0'), 'it', new Set(['A']));
    expect([...keys]).to.deep.equal([['A', '1']]);
  });

  it('come back as they were written', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.stringMatching(/^[A-Z][A-Za-z0-9.\-+@_]{0,20}$/),
            fc.string({ unit: 'binary' }).filter((value) => !value.includes('\0')),
          ),
        ),
        (pairs) => {
          expect(parseTextPairs(formatText(pairs), 'it')).to.deep.equal(pairs);
        },
      ),
    );
  });

  it('make pairs or a ProtocolError of any bytes', () => {
    const alphabet = fc.oneof(
      fc.constantFrom(0, 0x3d, 0x41, 0x42, 0x30),
      fc.integer({ min: 0, max: 255 }),
    );
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 80 }), (array) => {
        try {
          expect(parseTextMap(Uint8Array.from(array), 'it')).to.be.instanceOf(Map);
        } catch (error) {
          expect(error).to.be.instanceOf(ProtocolError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('text in several PDUs', () => {
  it('is the same wherever it was cut', () => {
    const text = bytes('TargetName=iqn.2026-01.org.example:a\0TargetAddress=[::1]:3260,1\0');
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), text.length];
        const accumulator = new TextAccumulator('it', 1000);
        edges.slice(1).forEach((end, i) => {
          const last = i === edges.length - 2;
          expect(accumulator.append(text.slice(edges[i], end), !last)).to.equal(last);
        });
        expect(accumulator.take()).to.deep.equal(text);
      }),
    );
  });

  it('is refused beyond its limit', () => {
    const accumulator = new TextAccumulator('it', 10);
    accumulator.append(new Uint8Array(10), true);
    expect(() => accumulator.append(new Uint8Array(1), false)).to.throw(
      ProtocolError,
      'longer than 10 bytes',
    );
  });

  it('is refused when empty continuations have no end', () => {
    const accumulator = new TextAccumulator('it', 10);
    const endless = () => {
      for (let i = 0; i < 100; i++) accumulator.append(new Uint8Array(0), true);
    };
    expect(endless).to.throw(ProtocolError).with.property('code', 'TEXT_ENDLESS');
  });

  it('may have some empty continuations', () => {
    const accumulator = new TextAccumulator('it', 10);
    for (let i = 0; i < 20; i++) {
      accumulator.append(new Uint8Array(0), true);
      accumulator.append(new Uint8Array(0), true);
      if (i < 10) accumulator.append(Uint8Array.of(i), true);
      else accumulator.take();
    }
    expect(accumulator.append(new Uint8Array(0), false)).to.equal(true);
  });

  it('starts afresh after it was taken', () => {
    const accumulator = new TextAccumulator('it', 4);
    accumulator.append(new Uint8Array(4), false);
    accumulator.take();
    expect(accumulator.append(Uint8Array.of(1, 2), false)).to.equal(true);
    expect(accumulator.take()).to.deep.equal(Uint8Array.of(1, 2));
  });
});

describe('quoted text of a peer', () => {
  it('is escaped and of bounded length', () => {
    expect(quoted('a"\n')).to.equal('"a\\"\\n"');
    expect(quoted('x'.repeat(1000)).length).to.be.lessThan(70);
  });
});
