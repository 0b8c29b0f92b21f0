import { expect } from 'chai';
import { ProtocolError } from '../../../src/errors.ts';
import { reportTargetPortGroupsCdb } from '../../../src/scsi/management-cdb.ts';
import {
  accessStateName,
  hasTargetPortGroups,
  parseTargetPortGroups,
  targetPortGroupOf,
} from '../../../src/scsi/target-port-groups.ts';

/** A descriptor of REPORT TARGET PORT GROUPS. */
function descriptor(group: number, state: number, ports: readonly number[]): number[] {
  return [
    ...[state, 0, group >> 8, group & 0xff, 0, 0, 0, ports.length],
    ...ports.flatMap((port) => [0, 0, port >> 8, port & 0xff]),
  ];
}

function withHeader(body: readonly number[], length = body.length): Uint8Array {
  return Uint8Array.of(0, 0, length >> 8, length & 0xff, ...body);
}

describe('target port groups', () => {
  it('are asked for by MAINTENANCE IN with service action 0Ah', () => {
    expect([...reportTargetPortGroupsCdb(0x0800)]).to.deep.equal([
      ...[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0],
    ]);
  });

  it('are read with their states, whatever ports they have', () => {
    const data = withHeader([
      ...descriptor(1, 0x80, [1, 2]),
      ...descriptor(258, 0x0f, []),
      ...descriptor(3, 2, [7]),
    ]);
    expect(parseTargetPortGroups(data)).to.deep.equal([
      { group: 1, state: 0, preferred: true },
      { group: 258, state: 15, preferred: false },
      { group: 3, state: 2, preferred: false },
    ]);
  });

  it('that the allocation length has cut off are left out', () => {
    const data = withHeader([...descriptor(1, 0, [1]), ...descriptor(2, 0, [2]).slice(0, 6)], 24);
    expect(parseTargetPortGroups(data).map(({ group }) => group)).to.deep.equal([1]);
  });

  it('that lie about their length end with the data', () => {
    const data = withHeader(descriptor(1, 0, [1]), 4000);
    data[4 + 7] = 255;
    expect(parseTargetPortGroups(data)).to.have.length(1);
  });

  it('are refused when not even the header is there', () => {
    expect(() => parseTargetPortGroups(Uint8Array.of(0, 0, 0))).to.throw(ProtocolError);
  });

  it('are there when TPGS of the INQUIRY data is not 0', () => {
    const inquiry = new Uint8Array(36);
    expect(hasTargetPortGroups(inquiry)).to.equal(false);
    inquiry[5] = 0x10;
    expect(hasTargetPortGroups(inquiry)).to.equal(true);
    expect(hasTargetPortGroups(inquiry.subarray(0, 5))).to.equal(false);
  });

  it('of the present port are named by the designator of type 5, association 1', () => {
    const designator = (association: number, type: number, group: number) => ({
      association,
      type,
      codeSet: 1,
      bytes: Uint8Array.of(0, 0, group >> 8, group & 0xff),
    });
    const all = [designator(0, 5, 1), designator(1, 4, 2), designator(1, 5, 0x0304)];
    expect(targetPortGroupOf(all)).to.equal(0x0304);
    expect(targetPortGroupOf(all.slice(0, 2))).to.equal(undefined);
  });

  it('have states with names', () => {
    expect([0, 1, 2, 3, 4, 0xe, 0xf, 7].map(accessStateName)).to.deep.equal([
      'active/optimized',
      'active/non-optimized',
      'standby',
      'unavailable',
      'logical block dependent',
      'offline',
      'transitioning',
      'reserved state 7',
    ]);
  });
});
