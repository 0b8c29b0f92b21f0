/**
 * What a unit attention condition asks of an initiator of block commands (SAM-6 §5.14; codes: SPC-5 annex F). The command that
 * met it was not carried out, and is repeated whatever the condition says.
 */
export const AttentionResponse = {
  /** Nothing that concerns us. */
  ignore: 'ignore',
  /** Somebody should know. */
  report: 'report',
  /** The logical unit is looked at again, before anything else is sent to it: identity, capacity, what it supports. */
  inspect: 'inspect',
  /** The same; moreover commands that were sent before may be gone without an answer. */
  reset: 'reset',
} as const;
export type AttentionResponse = (typeof AttentionResponse)[keyof typeof AttentionResponse];

export interface AttentionRule {
  readonly asc: number;
  /** undefined: all of the ASC. */
  readonly ascq: number | undefined;
  readonly response: AttentionResponse;
  /** For the log, and for whoever wonders why. */
  readonly reason: string;
}

const { ignore, report, inspect, reset } = AttentionResponse;

function rule(
  asc: number,
  ascq: number | undefined,
  response: AttentionResponse,
  reason: string,
): AttentionRule {
  return { asc, ascq, response, reason };
}

/** The first rule that fits counts. */
export const attentionRules: readonly AttentionRule[] = [
  rule(0x28, undefined, inspect, 'not ready before: the medium may be another one'),
  rule(
    0x29,
    undefined,
    reset,
    'power on or reset: tasks are gone, and what is back may have changed',
  ),
  rule(0x2a, 0x01, inspect, 'mode parameters changed: write protection, write cache'),
  rule(0x2a, 0x02, ignore, 'log parameters changed: nobody reads them'),
  rule(0x2a, 0x03, report, 'reservations preempted: commands may meet reservation conflicts'),
  rule(0x2a, 0x04, report, 'reservations released'),
  rule(0x2a, 0x05, report, 'registrations preempted: commands may meet reservation conflicts'),
  rule(0x2a, 0x06, report, 'asymmetric access state changed'),
  rule(0x2a, 0x07, report, 'implicit asymmetric access state transition failed'),
  rule(0x2a, 0x08, ignore, 'priority changed: none is used'),
  rule(0x2a, 0x09, inspect, 'capacity data changed'),
  rule(0x2a, 0x10, ignore, 'timestamp changed: none is used'),
  rule(0x2a, undefined, inspect, 'parameters changed'),
  rule(
    0x2f,
    undefined,
    reset,
    'commands cleared by another initiator or the device: tasks are gone',
  ),
  rule(0x38, 0x07, report, 'thin provisioning soft threshold reached: space runs out'),
  rule(0x3f, 0x00, inspect, 'target operating conditions changed'),
  rule(0x3f, 0x01, inspect, 'microcode changed: what is supported may have, too'),
  rule(0x3f, 0x02, inspect, 'operating definition changed'),
  rule(0x3f, 0x03, inspect, 'INQUIRY data changed: perhaps another logical unit'),
  rule(0x3f, 0x05, inspect, 'device identifier changed: perhaps another logical unit'),
  rule(0x3f, 0x0e, inspect, 'reported LUNs data changed: perhaps another logical unit at this LUN'),
  rule(0x5d, undefined, report, 'failure predicted'),
];

const unknown = rule(0, undefined, report, 'no rule for it');

/** What to do about a condition; `code` is ASC << 8 | ASCQ, as in SenseData. */
export function attentionRule(code: number): AttentionRule {
  const asc = code >> 8;
  const ascq = code & 0xff;
  return (
    attentionRules.find(
      (candidate) =>
        candidate.asc === asc && (candidate.ascq === undefined || candidate.ascq === ascq),
    ) ?? unknown
  );
}
