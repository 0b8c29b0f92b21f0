import { expect } from 'chai';
import fc from 'fast-check';
import { ProtocolError } from '../../../src/errors.ts';
import {
  SendTargetsCollector,
  parseSendTargets,
  sendTargetsText,
} from '../../../src/iscsi/discovery.ts';
import { parseTargetAddress } from '../../../src/iscsi/target-address.ts';
import { formatText } from '../../../src/iscsi/text-keys.ts';
import type { TextPair } from '../../../src/iscsi/text-keys.ts';

const nameOf = (i: number) => `iqn.2026-01.org.example:disk${i}`;
const listOf = (count: number): TextPair[] =>
  Array.from({ length: count }, (_, i): TextPair[] => [
    ['TargetName', nameOf(i)],
    ['TargetAddress', `10.0.0.1:3260,${i}`],
  ]).flat();

describe('SendTargets', () => {
  it('asks for all targets', () => {
    expect(Buffer.from(sendTargetsText()).toString()).to.equal('SendTargets=All\0');
  });

  it('lists targets with their portals', () => {
    const text = formatText([
      ['TargetName', nameOf(0)],
      ['TargetAddress', '10.0.0.1:3260,1'],
      ['TargetAddress', '[fd00::1]:3261,2'],
      ['TargetName', nameOf(1)],
    ]);
    expect(parseSendTargets(text)).to.deep.equal([
      {
        targetName: nameOf(0),
        portals: [
          { address: '10.0.0.1', port: 3260, tag: 1 },
          { address: 'fd00::1', port: 3261, tag: 2 },
        ],
      },
      { targetName: nameOf(1), portals: [] },
    ]);
  });

  it('joins what comes twice for one target', () => {
    const text = formatText([...listOf(2), ...listOf(1), ['TargetAddress', 'h,9']]);
    const targets = parseSendTargets(text);
    expect(targets.map((target) => target.targetName)).to.deep.equal([nameOf(0), nameOf(1)]);
    expect(targets[0].portals).to.deep.equal([
      { address: '10.0.0.1', port: 3260, tag: 0 },
      { address: 'h', port: 3260, tag: 9 },
    ]);
  });

  it('is empty when the target has none', () => {
    expect(parseSendTargets(new Uint8Array(0))).to.deep.equal([]);
  });

  it('passes over keys that it does not know', () => {
    expect(parseSendTargets(formatText([['X-com.example.a', '1'], ...listOf(1)]))).to.have.length(
      1,
    );
  });

  it('lists every target of an answer in many PDUs, wherever it was cut', () => {
    const text = formatText(listOf(400));
    const collector = new SendTargetsCollector();
    for (let at = 0; at < text.length; at += 1000) {
      const done = collector.append(text.slice(at, at + 1000), at + 1000 < text.length);
      expect(done).to.equal(at + 1000 >= text.length);
    }
    const targets = collector.targets();
    expect(targets).to.have.length(400);
    expect(targets[399]).to.deep.equal({
      targetName: nameOf(399),
      portals: [{ address: '10.0.0.1', port: 3260, tag: 399 }],
    });
  });

  it('does not believe in empty continuations without end', () => {
    const collector = new SendTargetsCollector();
    const endless = () => {
      while (!collector.append(new Uint8Array(0), true));
    };
    expect(endless).to.throw(ProtocolError).with.property('code', 'TEXT_ENDLESS');
  });

  const refusals: [text: string, code: string][] = [
    [`TargetName=${nameOf(0)}\0TargetAddress=10.0.0.1:32`, 'TEXT_TRUNCATED'],
    ['TargetAddress=10.0.0.1:3260,1\0', 'DISCOVERY_ORDER'],
    ['SendTargets=Reject\0', 'DISCOVERY_REFUSED'],
    ['TargetName=disk\0', 'DISCOVERY_TARGET_NAME'],
    [`TargetName=${nameOf(0)}\0TargetAddress=10.0.0.1:3260\0`, 'DISCOVERY_PORTAL_TAG'],
    [`TargetName=${nameOf(0)}\0TargetAddress=::1,1\0`, 'TARGET_ADDRESS'],
  ];
  for (const [text, code] of refusals) {
    it(`is refused with ${code}`, () => {
      expect(() => parseSendTargets(new TextEncoder().encode(text)))
        .to.throw(ProtocolError)
        .with.property('code', code);
    });
  }

  it('makes a list or a ProtocolError of any keys', () => {
    const pair = fc.tuple(
      fc.constantFrom('TargetName', 'TargetAddress', 'SendTargets', 'X'),
      fc.oneof(fc.constantFrom(nameOf(1), '[::1]:1,1', 'h,1'), fc.string()),
    );
    fc.assert(
      fc.property(fc.array(pair), (pairs) => {
        try {
          expect(parseSendTargets(formatText(pairs))).to.be.an('array');
        } catch (error) {
          expect(error).to.be.instanceOf(ProtocolError);
        }
      }),
    );
  });
});

describe('TargetAddress', () => {
  const table: [text: string, address: string, port: number, tag: number | undefined][] = [
    ['10.0.0.1:3261,7', '10.0.0.1', 3261, 7],
    ['10.0.0.1', '10.0.0.1', 3260, undefined],
    ['storage.example,0', 'storage.example', 3260, 0],
    ['[fd00::1]', 'fd00::1', 3260, undefined],
    ['[fe80::1%eth0]:860,65535', 'fe80::1%eth0', 860, 65535],
  ];
  for (const [text, address, port, tag] of table) {
    it(`is read: ${text}`, () => {
      expect(parseTargetAddress(text)).to.deep.equal({ address, port, tag });
    });
  }

  for (const text of [
    '',
    ':3260',
    'fd00::1',
    '[fd00::1',
    '[]:1',
    'h:0',
    'h:65536',
    'h:',
    'h,',
    'h,65536',
    'h,x',
    'h:1:2',
    'a b',
    'h'.repeat(256),
  ]) {
    it(`is refused: ${JSON.stringify(text.slice(0, 20))}`, () => {
      expect(() => parseTargetAddress(text)).to.throw(ProtocolError, 'TargetAddress');
    });
  }
});
