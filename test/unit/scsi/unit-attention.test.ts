import { expect } from 'chai';
import {
  AttentionResponse,
  attentionRule,
  attentionRules,
} from '../../../src/scsi/unit-attention.ts';

const { ignore, report, inspect, reset } = AttentionResponse;

describe('a unit attention condition', () => {
  const table: readonly (readonly [code: number, name: string, response: AttentionResponse])[] = [
    [0x2800, 'NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED', inspect],
    [0x2900, 'POWER ON, RESET, OR BUS DEVICE RESET OCCURRED', reset],
    [0x2903, 'BUS DEVICE RESET FUNCTION OCCURRED', reset],
    [0x2907, 'I_T NEXUS LOSS OCCURRED', reset],
    [0x2a00, 'PARAMETERS CHANGED', inspect],
    [0x2a01, 'MODE PARAMETERS CHANGED', inspect],
    [0x2a02, 'LOG PARAMETERS CHANGED', ignore],
    [0x2a03, 'RESERVATIONS PREEMPTED', report],
    [0x2a04, 'RESERVATIONS RELEASED', report],
    [0x2a05, 'REGISTRATIONS PREEMPTED', report],
    [0x2a06, 'ASYMMETRIC ACCESS STATE CHANGED', report],
    [0x2a07, 'IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED', report],
    [0x2a08, 'PRIORITY CHANGED', ignore],
    [0x2a09, 'CAPACITY DATA HAS CHANGED', inspect],
    [0x2a10, 'TIMESTAMP CHANGED', ignore],
    [0x2f00, 'COMMANDS CLEARED BY ANOTHER INITIATOR', reset],
    [0x3807, 'THIN PROVISIONING SOFT THRESHOLD REACHED', report],
    [0x3f00, 'TARGET OPERATING CONDITIONS HAVE CHANGED', inspect],
    [0x3f01, 'MICROCODE HAS BEEN CHANGED', inspect],
    [0x3f02, 'CHANGED OPERATING DEFINITION', inspect],
    [0x3f03, 'INQUIRY DATA HAS CHANGED', inspect],
    [0x3f05, 'DEVICE IDENTIFIER CHANGED', inspect],
    [0x3f0e, 'REPORTED LUNS DATA HAS CHANGED', inspect],
    [0x5d10, 'HARDWARE IMPENDING FAILURE GENERAL HARD DRIVE FAILURE', report],
    [0x3f11, 'one that no rule is for', report],
  ];
  for (const [code, name, response] of table) {
    it(`${name} asks to ${response}`, () => {
      expect(attentionRule(code).response).to.equal(response);
    });
  }

  it('has a reason in every rule, and every rule is one of those above', () => {
    const used = new Set(table.map(([code]) => attentionRule(code)));
    for (const rule of attentionRules) {
      expect(rule.reason).not.to.equal('');
      expect(used.has(rule), rule.reason).to.equal(true);
    }
  });
});
