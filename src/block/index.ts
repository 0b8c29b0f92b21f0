/** Block devices over SCSI: what front ends and the daemon need of this layer. */
export { allocateZeroBuffer, type ZeroBuffer } from './scratch.ts';
export { ExtentFlag, type BlockDevice, type BlockGeometry, type ExtentList } from './device.ts';
export { geometryOf, type LogicalUnitProfile } from './profile.ts';
export {
  ProbeError,
  ProbeFailure,
  probeLogicalUnit,
  type ProbeOptions,
  type ProbeResult,
} from './probe.ts';
export {
  BlockError,
  BlockFlag,
  BlockOperation,
  RequestTable,
  type RequestOwner,
} from './request-table.ts';
export { ScsiBlockDevice } from './translator.ts';
export type { ScsiBlockDeviceOptions, TranslatorStatistics } from './translator-options.ts';
