/** SCSI status codes (SAM-6 §5.3.1). */
export const ScsiStatus = {
  good: 0x00,
  checkCondition: 0x02,
  conditionMet: 0x04,
  busy: 0x08,
  reservationConflict: 0x18,
  taskSetFull: 0x28,
  acaActive: 0x30,
  taskAborted: 0x40,
} as const;

const names: Readonly<Record<number, string>> = {
  [ScsiStatus.good]: 'GOOD',
  [ScsiStatus.checkCondition]: 'CHECK CONDITION',
  [ScsiStatus.conditionMet]: 'CONDITION MET',
  [ScsiStatus.busy]: 'BUSY',
  [ScsiStatus.reservationConflict]: 'RESERVATION CONFLICT',
  [ScsiStatus.taskSetFull]: 'TASK SET FULL',
  [ScsiStatus.acaActive]: 'ACA ACTIVE',
  [ScsiStatus.taskAborted]: 'TASK ABORTED',
};

/** For logs: the standard's name, or the number. */
export function scsiStatusName(status: number): string {
  return names[status] ?? `status 0x${status.toString(16).padStart(2, '0')}`;
}
