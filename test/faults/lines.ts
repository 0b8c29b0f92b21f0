/** Which lines there are. */
import { hostWays, ways, type Way } from './bed.ts';
import { faults } from './faults.ts';
import type { Fault } from './line.ts';

export interface Line {
  readonly fault: Fault;
  readonly way: Way;
}

export interface Selection {
  /** Each fault once. */
  readonly quick: boolean;
  /** What needs neither the VM's wire nor kernel devices. */
  readonly host: boolean;
  /** A word of the fault or the way. */
  readonly only: string;
}

/** In an order in which lines over one volume follow each other. */
export function selectLines({ quick, host, only }: Selection): Line[] {
  return (host ? hostWays : ways).flatMap((way) =>
    faults
      .filter((fault) => (quick && !host ? fault.quickWays : fault.ways).includes(way))
      .filter((fault) => !host || fault.needsVm !== true)
      .filter((fault) => fault.name.includes(only) || way.name.includes(only))
      .toSorted((a, b) => settingsOf(a).localeCompare(settingsOf(b)))
      .map((fault) => ({ fault, way })),
  );
}

function settingsOf({ settings = {} }: Fault): string {
  return JSON.stringify(settings);
}
