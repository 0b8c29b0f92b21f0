import { each, type HostileLogin, runLogin } from '../../helpers/scripted-cases.ts';
import { keyText, politeKeys } from '../../helpers/scripted-pdu.ts';
import type { WireTarget } from '../../helpers/scripted-wire.ts';
import { Opcode } from '../../../src/wire/bhs.ts';

function replacing(key: string, value: string): (target: WireTarget) => void {
  return (target) => {
    const keys = politeKeys(target.rdma).filter((pair) => !pair.startsWith(`${key}=`));
    target.login([...keys, `${key}=${value}`]);
  };
}

function text(bytes: Uint8Array): (target: WireTarget) => void {
  return (target) => {
    target.login([], { data: bytes });
  };
}

/** Answers with these flags as long as it is asked. */
function endless(flags: number, data: () => Uint8Array) {
  return (target: WireTarget, lane: { reactor: { run(): void } }): void => {
    for (let round = 0; round < 100; round++) {
      lane.reactor.run();
      const request = target.take().find(({ opcode }) => opcode === 0x03);
      if (request === undefined) return;
      target.login([], { flags, data: data() }, request);
    }
  };
}

const logins: readonly HostileLogin[] = [
  {
    name: 'a PDU of the full feature phase comes too early',
    script: (target) => {
      target.send({ opcode: Opcode.scsiResponse, itt: target.expect(0x03).itt });
    },
    end: 'protocol-error',
    detail: /opcode 0x21 in the login phase/,
  },
  {
    name: 'the answer bears another tag',
    script: (target) => {
      target.login([], { itt: 0x12345678 });
    },
    end: 'protocol-error',
    detail: /0x12345678 belongs to no outstanding PDU/,
  },
  {
    name: 'the answer speaks another version',
    script: (target) => {
      target.login(undefined, { bytes: { 3: 5 } });
    },
    end: 'protocol-error',
    detail: /Version-active 5/,
  },
  {
    name: 'the answer is longer than any may be',
    script: (target) => {
      target.login([], { dataSegmentLength: 8193 });
    },
    end: 'protocol-error',
    detail: /DataSegmentLength 8193 exceeds the declared limit of 8192/,
  },
  {
    name: 'the answer is in another stage',
    script: (target) => {
      target.login(undefined, { flags: 0x83 });
    },
    end: 'login-failed',
    detail: /CSG 0 in stage 1/,
  },
  {
    name: 'the answer leads to a stage that does not exist',
    script: (target) => {
      target.login(undefined, { flags: 0x86 });
    },
    end: 'login-failed',
    detail: /NSG 2, we asked for 3/,
  },
  {
    name: 'the answer ends a stage and goes on',
    script: (target) => {
      target.login(undefined, { flags: 0xc7 });
    },
    end: 'login-failed',
    detail: /both T and C are set/,
  },
  {
    name: 'a key comes twice',
    script: text(keyText(['HeaderDigest=None', 'HeaderDigest=None'])),
    end: 'login-failed',
    detail: /HeaderDigest comes twice/,
  },
  {
    name: 'the text has no end',
    script: text(new TextEncoder().encode('HeaderDigest=None')),
    end: 'login-failed',
    detail: /no terminating NUL/,
  },
  {
    name: 'a key has no value',
    script: text(keyText(['HeaderDigest'])),
    end: 'login-failed',
    detail: /has no "="/,
  },
  {
    name: 'the text is not UTF-8',
    script: text(Uint8Array.of(0x41, 0x3d, 0xff, 0xfe, 0)),
    end: 'login-failed',
    detail: /not UTF-8/,
  },
  {
    name: 'the name of a key is 64 characters long',
    script: text(keyText([`${'K'.repeat(64)}=1`])),
    end: 'login-failed',
    detail: /is not a key name/,
  },
  {
    name: 'a value would break a log line',
    script: replacing('HeaderDigest', 'a\nb\u001b[2J'),
    end: 'login-failed',
    detail: /HeaderDigest: we need None, the target's word is "a\\nb\\u001b\[2J"/,
  },
  {
    name: 'a number is out of its range',
    script: replacing('MaxBurstLength', '1'),
    end: 'login-failed',
    detail: /MaxBurstLength: 1 is not in 512\.\.16777215/,
  },
  {
    name: 'an answer is more than was offered',
    script: replacing('MaxBurstLength', '16777215'),
    end: 'login-failed',
    detail: /MaxBurstLength: the target answered 16777215 to the offer 262144/,
  },
  {
    name: 'a boolean is neither',
    script: replacing('ImmediateData', 'Maybe'),
    end: 'login-failed',
    detail: /neither Yes nor No/,
  },
  {
    name: 'a digest is agreed on that was not offered',
    script: replacing('DataDigest', 'CRC32C'),
    end: 'login-failed',
    detail: /DataDigest/,
  },
  {
    name: 'a key of the security stage comes',
    script: replacing('CHAP_C', '0x00'),
    end: 'login-failed',
    detail: /CHAP_C: a target may not send it here/,
  },
  {
    name: 'empty continuations come without end',
    script: endless(0x44, () => new Uint8Array(0)),
    end: 'login-failed',
    detail: /more than 8 empty PDUs with the C bit/,
  },
  {
    name: 'continuations come without end',
    script: endless(0x44, () => new Uint8Array(8000).fill(0x41)),
    end: 'login-failed',
    detail: /text is longer than 65536 bytes/,
  },
  {
    name: 'rounds come without end',
    script: endless(0x04, () => new Uint8Array(0)),
    end: 'login-failed',
    detail: /did not end the login in 64 rounds/,
  },
  {
    name: 'a redirection leads nowhere',
    script: (target) => {
      target.login([], { bytes: { 36: 1, 37: 1 } });
    },
    end: 'login-failed',
    detail: /redirection without TargetAddress/,
  },
  {
    name: 'a redirection leads to something that is no address',
    script: (target) => {
      target.login(['TargetAddress=../../etc/passwd'], { bytes: { 36: 1, 37: 1 } });
    },
    end: 'login-failed',
    detail: /is not host\[:port\]/,
  },
  {
    name: 'the status is of a class that does not exist',
    script: (target) => {
      target.login([], { bytes: { 36: 9, 37: 9 } });
    },
    end: 'login-failed',
    detail: /0x0909, which RFC 7143 does not define/,
  },
  {
    name: 'the target closes',
    script: (target) => {
      target.close();
    },
    end: 'peer-closed',
    detail: /./,
  },
  {
    name: 'the target is silent',
    script: async (_target, lane) => {
      lane.volumes[1].refusing = true;
      await lane.pass(31_000);
    },
    end: 'login-timeout',
    detail: /did not end in time/,
  },
  {
    name: 'the target does without RDMA',
    over: 'iser',
    script: replacing('RDMAExtensions', 'No'),
    end: 'login-failed',
    detail: /RDMAExtensions: we need Yes/,
  },
];

describe('a login with a hostile target', () => {
  each(logins, runLogin);
});
