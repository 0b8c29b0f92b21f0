/** A task as SCSI Command PDU, and a SCSI Response PDU as the task's result (RFC 7143 §11.3, §11.4). Allocates nothing per task. */
import type { ArenaMemory } from '../reactor/reactor.ts';
import { emptySense, parseSense } from '../scsi/sense.ts';
import { ScsiStatus } from '../scsi/status.ts';
import type { TransportCapabilities, Transport } from '../transport/transport.ts';
import type { SessionParameters } from './login-contract.ts';
import { ScsiCommandFlag, TaskAttribute, writeScsiCommand } from './pdu/scsi-command.ts';
import type { ScsiResponse } from './pdu/scsi-response.ts';
import { cdbLength, senseCapacity } from './task-table.ts';
import type { TaskTable } from './task-table.ts';

export class CommandCodec {
  readonly #arena: ArenaMemory;
  readonly #tasks: TaskTable;
  /** Result of encodeLun. */
  readonly #lun: number;
  #maxImmediate = 0;
  #splitImmediate = false;
  /** Of the last answer that was stored with a status other than GOOD. */
  readonly sense = emptySense();

  constructor(arena: ArenaMemory, tasks: TaskTable, lun: number) {
    this.#arena = arena;
    this.#tasks = tasks;
    this.#lun = lun;
  }

  /** A connection has negotiated what it takes. */
  attach(capabilities: TransportCapabilities, parameters: SessionParameters): void {
    this.#splitImmediate = capabilities.splitImmediateData;
    this.#maxImmediate = parameters.immediateData
      ? Math.min(
          parameters.firstBurstLength,
          parameters.maxSendDataSegmentLength,
          capabilities.maxImmediateDataLength,
        )
      : 0;
  }

  /** Writes the task's command into the PDU slot, ready to be queued. */
  write(transport: Transport, task: number, pdu: number, cmdSn: number, expStatSn: number): void {
    const { pdus } = transport;
    const tasks = this.#tasks;
    const readLength = tasks.readLength[task];
    const writeLength = tasks.writeLength[task];
    pdus.readOffset[pdu] = tasks.readOffset[task];
    pdus.readLength[pdu] = readLength;
    pdus.writeOffset[pdu] = tasks.writeOffset[task];
    pdus.writeLength[pdu] = writeLength;
    pdus.dataSegmentOffset[pdu] = tasks.writeOffset[task];
    pdus.dataSegmentLength[pdu] = this.#immediateLength(writeLength);
    // F is set: the transport clears it when unsolicited Data-Out will follow.
    let flags = ScsiCommandFlag.final | TaskAttribute.simple;
    if (readLength > 0) flags |= ScsiCommandFlag.read;
    if (writeLength > 0) flags |= ScsiCommandFlag.write;
    writeScsiCommand(
      this.#arena.view,
      pdus.bhsOffset[pdu],
      flags,
      this.#lun,
      pdus.itt(pdu),
      readLength + writeLength,
      cmdSn,
      expStatSn,
      tasks.cdbView,
      task * cdbLength,
    );
  }

  /** `readPlaced`: bytes of read data that have really arrived. */
  storeAnswer(task: number, response: ScsiResponse, readPlaced: number): void {
    const tasks = this.#tasks;
    const residual = response.underflow ? response.residualCount : 0;
    tasks.scsiStatus[task] = response.status;
    tasks.readPlaced[task] = Math.min(Math.max(tasks.readLength[task] - residual, 0), readPlaced);
    tasks.residual[task] = residual;
    tasks.senseLength[task] = response.senseLength;
    if (response.status === ScsiStatus.good) return;
    const { bytes } = this.#arena;
    const at = task * senseCapacity;
    for (let i = 0; i < response.senseLength; i++) {
      tasks.sense[at + i] = bytes[response.senseOffset + i];
    }
    parseSense(tasks.sense, at, response.senseLength, this.sense);
  }

  #immediateLength(writeLength: number): number {
    if (writeLength <= this.#maxImmediate) return writeLength;
    return this.#splitImmediate ? this.#maxImmediate : 0;
  }
}
