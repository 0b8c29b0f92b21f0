import { expect } from 'chai';
import { BlockError } from '../../../src/block/request-table.ts';
import { Verdict, judgeSense, judgeTask, senseRules } from '../../../src/block/verdict.ts';
import { TaskOutcome, TaskTable, senseCapacity } from '../../../src/iscsi/task-table.ts';
import { emptySense } from '../../../src/scsi/sense.ts';
import { ScsiStatus } from '../../../src/scsi/status.ts';
import { fixedSense } from '../../helpers/ram-logical-unit.ts';

const failed = (error: number) => Verdict.failed + error;

function judge(
  outcome: number,
  status: number,
  sense: Uint8Array = new Uint8Array(0),
  writes = false,
) {
  const tasks = new TaskTable(2);
  const task = 1;
  tasks.outcome[task] = outcome;
  tasks.scsiStatus[task] = status;
  tasks.sense.set(sense, task * senseCapacity);
  tasks.senseLength[task] = sense.length;
  return judgeTask(tasks, task, writes, emptySense());
}

describe('the verdict on a task', () => {
  const outcomes: readonly (readonly [string, number, number])[] = [
    ['a passed deadline is an I/O error', TaskOutcome.deadlineExceeded, failed(BlockError.ioError)],
    [
      'a closed session means shutting down',
      TaskOutcome.sessionClosed,
      failed(BlockError.shuttingDown),
    ],
    ['a rejected PDU is an I/O error', TaskOutcome.rejected, failed(BlockError.ioError)],
    ['another unit is an I/O error', TaskOutcome.identityChanged, failed(BlockError.ioError)],
  ];
  for (const [name, outcome, expected] of outcomes) {
    it(name, () => {
      expect(judge(outcome, ScsiStatus.good)).to.equal(expected);
    });
  }

  const statuses: readonly (readonly [number, number])[] = [
    [ScsiStatus.good, Verdict.success],
    [ScsiStatus.conditionMet, Verdict.success],
    [ScsiStatus.busy, Verdict.retryLater],
    [ScsiStatus.taskSetFull, Verdict.retryLater],
    [ScsiStatus.taskAborted, Verdict.retryNow],
    [ScsiStatus.reservationConflict, failed(BlockError.ioError)],
    [ScsiStatus.acaActive, failed(BlockError.ioError)],
    [0x3e, failed(BlockError.ioError)],
  ];
  for (const [status, expected] of statuses) {
    it(`status 0x${status.toString(16)} gives ${expected}`, () => {
      expect(judge(TaskOutcome.answered, status)).to.equal(expected);
    });
  }

  it('CHECK CONDITION without sense is an I/O error', () => {
    expect(judge(TaskOutcome.answered, ScsiStatus.checkCondition)).to.equal(
      failed(BlockError.ioError),
    );
  });

  it('CHECK CONDITION is judged by the sense of the right task', () => {
    expect(judge(TaskOutcome.answered, ScsiStatus.checkCondition, fixedSense(7, 0x2700))).to.equal(
      failed(BlockError.notPermitted),
    );
  });
});

describe('the verdict on sense data', () => {
  const table: readonly (readonly [string, number, number, boolean, number])[] = [
    ['NO SENSE', 0x0, 0x0000, false, failed(BlockError.ioError)],
    ['RECOVERED ERROR', 0x1, 0x1701, false, Verdict.success],
    ['NOT READY, becoming ready', 0x2, 0x0401, false, Verdict.retryLater],
    ['NOT READY, operation in progress', 0x2, 0x0407, false, Verdict.retryLater],
    ['NOT READY, format in progress', 0x2, 0x0404, true, Verdict.retryLater],
    ['NOT READY, rebuild in progress', 0x2, 0x0405, true, Verdict.retryLater],
    ['NOT READY, recalculation in progress', 0x2, 0x0406, true, Verdict.retryLater],
    ['NOT READY, long write in progress', 0x2, 0x0408, true, Verdict.retryLater],
    ['NOT READY, self-test in progress', 0x2, 0x0409, false, Verdict.retryLater],
    ['NOT READY, START STOP UNIT in progress', 0x2, 0x041a, false, Verdict.retryLater],
    ['NOT READY, sanitize in progress', 0x2, 0x041b, false, Verdict.retryLater],
    ['NOT READY, configuration in progress', 0x2, 0x041d, false, Verdict.retryLater],
    ['NOT READY, initializing command required', 0x2, 0x0402, false, failed(BlockError.ioError)],
    ['NOT READY, manual intervention required', 0x2, 0x0403, false, failed(BlockError.ioError)],
    ['NOT READY, ALUA transition', 0x2, 0x040a, false, Verdict.retryLater],
    ['NOT READY, space allocation in progress', 0x2, 0x0414, true, Verdict.retryLater],
    ['NOT READY, standby', 0x2, 0x040b, false, failed(BlockError.ioError)],
    ['NOT READY, no medium', 0x2, 0x3a00, false, failed(BlockError.ioError)],
    ['MEDIUM ERROR, unrecovered read error', 0x3, 0x1100, false, failed(BlockError.ioError)],
    ['MEDIUM ERROR, write error', 0x3, 0x0c00, true, failed(BlockError.ioError)],
    ['HARDWARE ERROR', 0x4, 0x4400, false, failed(BlockError.ioError)],
    ['BLANK CHECK', 0x8, 0x0000, false, failed(BlockError.ioError)],
    ['a vendor specific key', 0x9, 0x8000, false, failed(BlockError.ioError)],
    ['unknown operation code', 0x5, 0x2000, false, Verdict.invalidCommand],
    ['invalid field in the CDB', 0x5, 0x2400, false, Verdict.invalidField],
    ['invalid field in the parameter list', 0x5, 0x2600, true, Verdict.invalidField],
    ['LBA out of range, read', 0x5, 0x2100, false, failed(BlockError.invalid)],
    ['LBA out of range, write', 0x5, 0x2100, true, failed(BlockError.noSpace)],
    ['no such logical unit', 0x5, 0x2500, false, failed(BlockError.ioError)],
    ['UNIT ATTENTION, reset', 0x6, 0x2900, false, Verdict.retryNow],
    ['UNIT ATTENTION, soft threshold', 0x6, 0x3807, true, Verdict.retryNow],
    ['UNIT ATTENTION, capacity changed', 0x6, 0x2a09, true, Verdict.retryNow],
    ['write protected', 0x7, 0x2700, true, failed(BlockError.notPermitted)],
    ['write protected by software', 0x7, 0x2702, true, failed(BlockError.notPermitted)],
    ['space allocation failed', 0x7, 0x2707, true, failed(BlockError.noSpace)],
    ['space allocation failed, other key', 0x4, 0x2707, true, failed(BlockError.noSpace)],
    ['soft threshold, other key', 0x3, 0x3807, true, failed(BlockError.noSpace)],
    ['ABORTED COMMAND', 0xb, 0x4b00, true, Verdict.retryNow],
    ['ABORTED COMMAND, protection information', 0xb, 0x1001, true, failed(BlockError.ioError)],
    ['VOLUME OVERFLOW', 0xd, 0x0000, true, failed(BlockError.noSpace)],
    ['MISCOMPARE', 0xe, 0x1d00, true, failed(BlockError.ioError)],
  ];
  for (const [name, key, code, writes, expected] of table) {
    it(`${name} gives ${expected}`, () => {
      expect(judgeSense({ ...emptySense(), key, code }, writes)).to.equal(expected);
    });
  }

  it('uses every rule, and every rule has a reason', () => {
    const unused = new Set(senseRules);
    for (const [, key, code] of table) {
      const used = senseRules.find(
        (rule) =>
          (rule.key === undefined || rule.key === key) &&
          (rule.asc === undefined || rule.asc === code >> 8) &&
          (rule.codes === undefined || rule.codes.includes(code)),
      );
      if (used !== undefined) unused.delete(used);
    }
    expect([...unused]).to.deep.equal([]);
    expect(senseRules.filter(({ reason }) => reason === '')).to.deep.equal([]);
  });

  it("a deferred error is not this command's: it is sent again", () => {
    expect(judgeSense({ ...emptySense(), key: 3, deferred: true }, false)).to.equal(
      Verdict.retryNow,
    );
  });
});
