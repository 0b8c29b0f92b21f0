import { expect } from 'chai';
import { Option } from '../../../src/nbd/constants.ts';
import { NbdEnd } from '../../../src/nbd/end.ts';
import type { NbdExport } from '../../../src/nbd/export.ts';
import { Handshake } from '../../../src/nbd/handshake.ts';
import type { HandshakeStep } from '../../../src/nbd/handshake.ts';
import { defaultLimits } from '../../../src/nbd/limits.ts';
import { FakeReactor } from '../../../src/reactor/fake-reactor.ts';
import {
  concat,
  hexBytes,
  infoData,
  metaData,
  option,
  parseOptionReplies,
  u16,
  u32,
  utf8,
} from '../../helpers/nbd-client.ts';
import { RamDevice } from '../../helpers/ram-device.ts';

const ack = 1;
const unsupported = 0x80000001;
const invalid = 0x80000003;
const unknown = 0x80000006;
const tooBig = 0x80000009;

function exportsOf(...names: string[]): NbdExport[] {
  const device = new RamDevice(new FakeReactor({ arenaBytes: 4096 }), 65536);
  return names.map((name) => ({ name, description: `about ${name}`, device }));
}

function handshakeFor(exports: readonly NbdExport[]): Handshake {
  return new Handshake(
    { find: (name) => exports.find((each) => each.name === name), list: () => exports },
    defaultLimits,
  );
}

/** An engine that has the client flags behind it. */
function haggling(exports = exportsOf('disk', 'other'), clientFlags = 3): Handshake {
  const handshake = handshakeFor(exports);
  expect(handshake.receive(u32(clientFlags))).to.deep.include({ kind: 'more', consumed: 4 });
  return handshake;
}

/** Gives the engine one whole option and expects a reply that consumes it. */
function ask(handshake: Handshake, code: number, data?: Uint8Array) {
  const input = option(code, data);
  const step = handshake.receive(input);
  if (step.kind === 'more') throw new Error('the option was whole');
  expect(step.consumed).to.equal(input.length);
  return { step, replies: parseOptionReplies(step.output) };
}

function typesOf(handshake: Handshake, code: number, data?: Uint8Array): number[] {
  return ask(handshake, code, data).replies.map(({ type }) => type);
}

function expectClose(step: HandshakeStep, end: string): void {
  expect(step).to.deep.include({ kind: 'close', end });
}

describe('NBD handshake', () => {
  it('greets with NBDMAGIC, IHAVEOPT and the flags FIXED_NEWSTYLE and NO_ZEROES', () => {
    const golden = hexBytes('4e42444d41474943 49484156454f5054 0003');
    expect(handshakeFor([]).greeting()).to.deep.equal(golden);
  });

  it('closes on an unknown client flag', () => {
    expectClose(handshakeFor([]).receive(u32(4)), NbdEnd.badHandshake);
  });

  it('closes on an option without IHAVEOPT', () => {
    expectClose(
      haggling().receive(hexBytes('49484156454f5055 00000003 00000000')),
      'bad-handshake',
    );
  });

  it('waits for a whole header and then for the whole data', () => {
    const handshake = haggling();
    const input = option(Option.go, infoData('disk'));
    expect(handshake.receive(input.subarray(0, 15))).to.deep.equal({
      kind: 'more',
      consumed: 0,
      needed: 16,
    });
    expect(handshake.receive(input.subarray(0, 17))).to.deep.equal({
      kind: 'more',
      consumed: 0,
      needed: input.length,
    });
  });

  it('answers an unknown option with UNSUP and goes on', () => {
    const handshake = haggling();
    expect(typesOf(handshake, 4711, utf8('whatever'))).to.deep.equal([unsupported]);
    expect(ask(handshake, Option.go, infoData('disk')).step.kind).to.equal('transmission');
  });

  it('answers EXTENDED_HEADERS with UNSUP', () => {
    expect(typesOf(haggling(), Option.extendedHeaders)).to.deep.equal([unsupported]);
  });

  it('answers STARTTLS with UNSUP, and with INVALID when it has data', () => {
    expect(typesOf(haggling(), Option.startTls)).to.deep.equal([unsupported]);
    expect(typesOf(haggling(), Option.startTls, u32(1))).to.deep.equal([invalid]);
  });

  it('closes at once on an option that announces 4 GiB', () => {
    const step = haggling().receive(option(Option.go, new Uint8Array(0), 0xffffffff));
    expectClose(step, NbdEnd.optionTooLong);
  });

  it('throws away too much option data in pieces, answers TOO_BIG and goes on', () => {
    const handshake = haggling();
    const input = option(Option.go, new Uint8Array(0), 10000);
    expect(handshake.receive(input)).to.deep.equal({ kind: 'more', consumed: 16, needed: 1 });
    const first = handshake.receive(new Uint8Array(9999));
    expect(first).to.deep.equal({ kind: 'more', consumed: 9999, needed: 1 });
    const step = handshake.receive(new Uint8Array(5));
    expect(step).to.deep.include({ kind: 'reply', consumed: 1 });
    if (step.kind !== 'reply') return;
    expect(parseOptionReplies(step.output)[0].type).to.equal(tooBig);
    expect(typesOf(handshake, Option.list)).to.have.lengthOf(3);
  });

  it('closes after throwing away too long an export name, which has no error reply', () => {
    const handshake = haggling();
    handshake.receive(option(Option.exportName, new Uint8Array(0), 10000));
    expectClose(handshake.receive(new Uint8Array(10000)), NbdEnd.unknownExport);
  });

  it('closes on the 65th option', () => {
    const handshake = haggling();
    for (let i = 0; i < 64; i++) expect(typesOf(handshake, Option.list)).to.have.lengthOf(3);
    expectClose(handshake.receive(option(Option.list)), NbdEnd.tooManyOptions);
  });

  it('counts options that it throws away', () => {
    const handshake = haggling();
    for (let i = 0; i < 64; i++) ask(handshake, Option.list);
    expectClose(
      handshake.receive(option(Option.go, new Uint8Array(0), 9000)),
      NbdEnd.tooManyOptions,
    );
  });

  it('answers ABORT with ACK, then closes', () => {
    const { step, replies } = ask(haggling(), Option.abort, utf8('ignored'));
    expectClose(step, NbdEnd.aborted);
    expect(replies.map(({ type }) => type)).to.deep.equal([ack]);
  });

  it('closes on any option but EXPORT_NAME from a client that is not fixed newstyle', () => {
    expectClose(haggling(exportsOf('disk'), 0).receive(option(Option.go)), NbdEnd.badHandshake);
  });

  it('is a bug to ask it after its end', () => {
    const handshake = haggling();
    ask(handshake, Option.abort);
    expect(() => handshake.receive(option(Option.list))).to.throw('after its end');
  });

  describe('EXPORT_NAME', () => {
    const golden = '0000000000010000 0d6d';

    it('is answered by size and flags, and 124 zeroes for a client that wants them', () => {
      const handshake = haggling(exportsOf('disk'), 1);
      const step = handshake.receive(option(Option.exportName, utf8('disk')));
      expect(step).to.deep.include({ kind: 'transmission' });
      if (step.kind !== 'transmission') return;
      expect(step.output).to.deep.equal(concat(hexBytes(golden), new Uint8Array(124)));
    });

    it('is answered without zeroes when NO_ZEROES is agreed, also for a client not fixed newstyle', () => {
      const handshake = haggling(exportsOf('disk'), 2);
      const step = handshake.receive(option(Option.exportName, utf8('disk')));
      if (step.kind !== 'transmission') throw new Error(step.kind);
      expect(step.output).to.deep.equal(hexBytes(golden));
      expect(step.agreement).to.deep.equal({ structuredReplies: false, allocationContext: false });
    });

    it('closes on an unknown name', () => {
      const step = haggling().receive(option(Option.exportName, utf8('nothing')));
      expectClose(step, NbdEnd.unknownExport);
    });

    it('closes on a name that is none', () => {
      const step = haggling().receive(option(Option.exportName, Uint8Array.of(0xff)));
      expectClose(step, NbdEnd.badHandshake);
    });
  });

  describe('LIST', () => {
    it('names every export with its description, then acknowledges', () => {
      const { replies } = ask(haggling(), Option.list);
      expect(replies.map(({ type }) => type)).to.deep.equal([2, 2, ack]);
      expect(replies[0].data).to.deep.equal(concat(u32(4), utf8('diskabout disk')));
    });

    it('is INVALID with data', () => {
      const handshake = haggling();
      expect(typesOf(handshake, Option.list, u32(1))).to.deep.equal([invalid]);
      expect(typesOf(handshake, Option.list)).to.have.lengthOf(3);
    });
  });

  describe('INFO and GO', () => {
    it('always give NBD_INFO_EXPORT', () => {
      const { step, replies } = ask(haggling(), Option.info, infoData('disk'));
      expect(step.kind).to.equal('reply');
      expect(replies.map(({ type }) => type)).to.deep.equal([3, ack]);
      expect(replies[0].data).to.deep.equal(hexBytes('0000 0000000000010000 0d6d'));
    });

    it('give name, description and block sizes when asked, once each, and ignore what they do not know', () => {
      const infos = [3, 1, 2, 3, 99];
      const { replies } = ask(haggling(), Option.info, infoData('disk', infos));
      expect(replies.map(({ data }) => data)).to.deep.equal([
        hexBytes('0000 0000000000010000 0d6d'),
        concat(u16(1), utf8('disk')),
        concat(u16(2), utf8('about disk')),
        concat(u16(3), u32(512), u32(4096), u32(32 * 1024 * 1024)),
        new Uint8Array(0),
      ]);
    });

    it('find the only export under the empty name and say what it is called', () => {
      const { replies } = ask(haggling(exportsOf('disk')), Option.info, infoData('', [1]));
      expect(replies[1].data).to.deep.equal(concat(u16(1), utf8('disk')));
    });

    it('answer UNKNOWN to the empty name when there are two exports', () => {
      expect(typesOf(haggling(), Option.info, infoData(''))).to.deep.equal([unknown]);
    });

    it('answer UNKNOWN to an unknown name; a good GO then works', () => {
      const handshake = haggling();
      expect(typesOf(handshake, Option.go, infoData('nothing'))).to.deep.equal([unknown]);
      const { step } = ask(handshake, Option.go, infoData('disk'));
      expect(step).to.deep.include({ kind: 'transmission' });
    });

    const malformed: [string, Uint8Array][] = [
      ['a name longer than the option', concat(u32(100), utf8('disk'), u16(0))],
      ['less than six bytes', u32(0)],
      ['nothing', new Uint8Array(0)],
      ['bytes behind the last field', concat(infoData('disk'), u16(0))],
      ['fewer information types than counted', concat(u32(4), utf8('disk'), u16(2), u16(0))],
      ['a name of 5000 bytes', infoData('x'.repeat(5000))],
      ['a NUL in the name', infoData('di\0sk')],
      ['a name that is not UTF-8', infoData(Uint8Array.of(0xc3, 0x28))],
    ];
    for (const [what, data] of malformed) {
      it(`are INVALID with ${what}, and the session goes on`, () => {
        const handshake = haggling();
        const { step, replies } = ask(handshake, Option.go, data);
        expect(step.kind).to.equal('reply');
        expect(replies.map(({ type }) => type)).to.deep.equal([invalid]);
        expect(replies[0].data.length).to.be.greaterThan(0);
        expect(ask(handshake, Option.go, infoData('disk')).step.kind).to.equal('transmission');
      });
    }
  });

  describe('STRUCTURED_REPLY', () => {
    it('is acknowledged, also twice, and adds SEND_DF to the flags', () => {
      const handshake = haggling();
      expect(typesOf(handshake, Option.structuredReply)).to.deep.equal([ack]);
      expect(typesOf(handshake, Option.structuredReply)).to.deep.equal([ack]);
      const { step, replies } = ask(handshake, Option.go, infoData('disk'));
      expect(replies[0].data).to.deep.equal(hexBytes('0000 0000000000010000 0ded'));
      if (step.kind !== 'transmission') throw new Error(step.kind);
      expect(step.agreement.structuredReplies).to.equal(true);
    });

    it('is INVALID with data and then changes nothing', () => {
      const handshake = haggling();
      expect(typesOf(handshake, Option.structuredReply, u32(0))).to.deep.equal([invalid]);
      const { step } = ask(handshake, Option.go, infoData('disk'));
      if (step.kind !== 'transmission') throw new Error(step.kind);
      expect(step.agreement.structuredReplies).to.equal(false);
    });
  });

  describe('metadata contexts', () => {
    const allocation = utf8('base:allocation');

    function agreed(handshake: Handshake, name = 'disk'): boolean {
      const { step } = ask(handshake, Option.go, infoData(name));
      if (step.kind !== 'transmission') throw new Error(step.kind);
      return step.agreement.allocationContext;
    }

    function structured(): Handshake {
      const handshake = haggling();
      ask(handshake, Option.structuredReply);
      return handshake;
    }

    for (const queries of [[], ['base:'], ['base:allocation'], ['x:y', 'base:']]) {
      it(`LIST with ${JSON.stringify(queries)} gives base:allocation`, () => {
        const { replies } = ask(haggling(), Option.listMetaContext, metaData('disk', queries));
        expect(replies.map(({ type }) => type)).to.deep.equal([4, ack]);
        expect(replies[0].data).to.deep.equal(concat(u32(0), allocation));
      });
    }

    it('LIST of another namespace gives nothing', () => {
      const types = typesOf(haggling(), Option.listMetaContext, metaData('disk', ['qemu:']));
      expect(types).to.deep.equal([ack]);
    });

    it('LIST selects nothing', () => {
      const handshake = structured();
      ask(handshake, Option.listMetaContext, metaData('disk', ['base:allocation']));
      expect(agreed(handshake)).to.equal(false);
    });

    it('SET selects base:allocation and gives its id', () => {
      const handshake = structured();
      const data = metaData('disk', ['base:allocation', 'other:thing']);
      const { replies } = ask(handshake, Option.setMetaContext, data);
      expect(replies.map(({ type }) => type)).to.deep.equal([4, ack]);
      expect(replies[0].data).to.deep.equal(concat(u32(1), allocation));
      expect(agreed(handshake)).to.equal(true);
    });

    for (const queries of [[], ['base:'], ['base:allocations']]) {
      it(`SET with ${JSON.stringify(queries)} selects nothing`, () => {
        const handshake = structured();
        const data = metaData('disk', queries);
        expect(typesOf(handshake, Option.setMetaContext, data)).to.deep.equal([ack]);
        expect(agreed(handshake)).to.equal(false);
      });
    }

    it('the last SET counts', () => {
      const handshake = structured();
      ask(handshake, Option.setMetaContext, metaData('disk', ['base:allocation']));
      ask(handshake, Option.setMetaContext, metaData('disk', []));
      expect(agreed(handshake)).to.equal(false);
    });

    it('SET before STRUCTURED_REPLY is INVALID', () => {
      const types = typesOf(haggling(), Option.setMetaContext, metaData('disk', []));
      expect(types).to.deep.equal([invalid]);
    });

    it('SET for one export is void when GO names another', () => {
      const handshake = structured();
      ask(handshake, Option.setMetaContext, metaData('disk', ['base:allocation']));
      expect(agreed(handshake, 'other')).to.equal(false);
    });

    it('SET for an unknown export is UNKNOWN and clears the selection', () => {
      const handshake = structured();
      ask(handshake, Option.setMetaContext, metaData('disk', ['base:allocation']));
      const types = typesOf(handshake, Option.setMetaContext, metaData('no', ['base:allocation']));
      expect(types).to.deep.equal([unknown]);
      expect(agreed(handshake)).to.equal(false);
    });

    it('a query longer than the option is INVALID', () => {
      const data = concat(u32(4), utf8('disk'), u32(1), u32(200), allocation);
      expect(typesOf(structured(), Option.setMetaContext, data)).to.deep.equal([invalid]);
    });

    it('more queries counted than there are is INVALID', () => {
      const data = concat(u32(4), utf8('disk'), u32(0xffffffff));
      expect(typesOf(structured(), Option.setMetaContext, data)).to.deep.equal([invalid]);
    });
  });
});
