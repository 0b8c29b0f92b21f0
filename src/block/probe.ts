/**
 * Finds out what a logical unit is and what it can do. Only INQUIRY, TEST UNIT READY and a capacity must work; everything else
 * is optional, and what is missing is assumed not to be there.
 */
import type { ScsiSession } from '../iscsi/scsi-session.ts';
import {
  parseReadCapacity10,
  parseReadCapacity16,
  readCapacity10Length,
  readCapacity16Length,
  type Capacity,
} from '../scsi/capacity.ts';
import { OperationCode, ServiceAction, WriteSameFlag } from '../scsi/cdb.ts';
import { identityName } from '../scsi/identity.ts';
import {
  PeripheralDeviceType,
  PeripheralQualifier,
  parseInquiry,
  type InquiryData,
} from '../scsi/inquiry.ts';
import { parseReportLuns } from '../scsi/luns.ts';
import {
  inquiryCdb,
  inquiryVpdCdb,
  modeSense10Cdb,
  modeSense6Cdb,
  read16NothingCdb,
  readCapacity10Cdb,
  readCapacity16Cdb,
  reportLunsCdb,
  reportSupportedOperationCodeCdb,
  testUnitReadyCdb,
} from '../scsi/management-cdb.ts';
import { ModePage, parseModeSense10, parseModeSense6, type ModeParameters } from '../scsi/mode.ts';
import { AdditionalSense } from '../scsi/sense.ts';
import { parseSupportedOperation, type SupportedOperation } from '../scsi/supported-operation.ts';
import {
  VpdPage,
  noBlockLimits,
  noProvisioning,
  parseBlockLimits,
  parseDeviceIdentification,
  parseLogicalBlockProvisioning,
  parseRotationRate,
  parseSupportedPages,
  parseUnitSerialNumber,
  type BlockLimits,
  type Designator,
  type LogicalBlockProvisioning,
} from '../scsi/vpd.ts';
import { ProbeCommands, ProbeError, ProbeFailure, type ProbeOptions } from './probe-commands.ts';
import type { LogicalUnitProfile } from './profile.ts';

export { ProbeError, ProbeFailure, type ProbeOptions } from './probe-commands.ts';

const inquiryLength = 96;
const vpdLength = 1024;
const modeLength = 192;
const lunListLength = 2048;
const operationLength = 64;

export interface ProbeResult {
  readonly profile: LogicalUnitProfile;
  /** Answers that could not be understood and were left aside, for the log. */
  readonly oddities: readonly string[];
}

/** Rejects with ProbeError (what the logical unit is or said) or ProtocolError (an answer that must be there is malformed). */
export async function probeLogicalUnit(
  session: ScsiSession,
  options: ProbeOptions,
): Promise<ProbeResult> {
  const commands = new ProbeCommands(session, options);
  const inquiry = parseInquiry(
    await commands.required('INQUIRY', inquiryCdb(inquiryLength), inquiryLength),
  );
  await checkPeripheral(commands, inquiry);
  await commands.required('TEST UNIT READY', testUnitReadyCdb(), 0);
  const pages = await probePages(commands);
  const { capacity, commands16 } = await probeCapacity(commands);
  const mode = await probeMode(commands);
  const operations = await probeOperations(commands, capacity.lbpme);
  return {
    profile: profileOf(inquiry, pages, capacity, commands16, mode, operations),
    oddities: commands.oddities,
  };
}

const diskTypes: readonly number[] = [
  PeripheralDeviceType.directAccess,
  PeripheralDeviceType.cdDvd,
  PeripheralDeviceType.opticalMemory,
];

async function checkPeripheral(commands: ProbeCommands, inquiry: InquiryData): Promise<void> {
  const { peripheralQualifier, peripheralDeviceType } = inquiry;
  const connected = peripheralQualifier === PeripheralQualifier.connected;
  if (connected && diskTypes.includes(peripheralDeviceType)) return;
  const list = await commands.optionalParsed(
    'REPORT LUNS',
    reportLunsCdb(lunListLength),
    lunListLength,
    parseReportLuns,
  );
  const luns = list?.luns.map(({ number, hex }) => number ?? hex).join(', ') ?? 'unknown';
  const reported = `; LUNs of the target: ${luns}`;
  if (!connected) {
    throw new ProbeError(
      ProbeFailure.noLogicalUnit,
      `there is no logical unit at this LUN${reported}`,
    );
  }
  const type = peripheralDeviceType.toString(16).padStart(2, '0');
  const what =
    peripheralDeviceType === PeripheralDeviceType.storageArrayController
      ? 'a storage array controller'
      : `of peripheral device type ${type}h`;
  throw new ProbeError(ProbeFailure.notADisk, `the logical unit is ${what}, no disk${reported}`);
}

interface Pages {
  readonly serialNumber: string;
  readonly designators: readonly Designator[];
  readonly limits: BlockLimits;
  readonly rotationRate: number;
  readonly provisioning: LogicalBlockProvisioning;
}

/** Only pages that page 00h lists: some targets answer others with standard data or stop answering. */
async function probePages(commands: ProbeCommands): Promise<Pages> {
  const read = <T>(page: number, parse: (data: Uint8Array) => T): Promise<T | undefined> =>
    commands.optionalParsed(
      `INQUIRY, VPD page ${page.toString(16).padStart(2, '0')}h`,
      inquiryVpdCdb(page, vpdLength),
      vpdLength,
      parse,
    );
  const listed = (await read(VpdPage.supportedPages, parseSupportedPages)) ?? [];
  const readListed = async <T>(
    page: number,
    parse: (data: Uint8Array) => T,
    otherwise: T,
  ): Promise<T> => (listed.includes(page) ? ((await read(page, parse)) ?? otherwise) : otherwise);
  return {
    serialNumber: await readListed(VpdPage.unitSerialNumber, parseUnitSerialNumber, ''),
    designators: await readListed(VpdPage.deviceIdentification, parseDeviceIdentification, []),
    limits: await readListed(VpdPage.blockLimits, parseBlockLimits, noBlockLimits),
    rotationRate: await readListed(VpdPage.blockDeviceCharacteristics, parseRotationRate, 0),
    provisioning: await readListed(
      VpdPage.logicalBlockProvisioning,
      parseLogicalBlockProvisioning,
      noProvisioning,
    ),
  };
}

/** READ CAPACITY(16); on old units (10), and then READ(16) may be missing, too. */
async function probeCapacity(
  commands: ProbeCommands,
): Promise<{ readonly capacity: Capacity; readonly commands16: boolean }> {
  const data16 = await commands.optional(
    'READ CAPACITY(16)',
    readCapacity16Cdb(readCapacity16Length),
    readCapacity16Length,
  );
  if (data16 !== undefined) return { capacity: parseReadCapacity16(data16), commands16: true };
  const capacity = parseReadCapacity10(
    await commands.required('READ CAPACITY(10)', readCapacity10Cdb(), readCapacity10Length),
  );
  if (capacity === undefined) {
    throw new ProbeError(
      ProbeFailure.commandFailed,
      'the logical unit is too large for READ CAPACITY(10), but refuses READ CAPACITY(16)',
    );
  }
  const nothing = await commands.optional('READ(16)', read16NothingCdb(), 0);
  const refused =
    nothing === undefined && commands.refusalCode === AdditionalSense.invalidCommandOperationCode;
  return { capacity, commands16: !refused };
}

const noMode: ModeParameters = {
  writeProtected: false,
  dpoFua: false,
  writeCacheEnabled: undefined,
};

/** The caching page, or else any page: WP and DPOFUA are in the header of all of them. */
async function probeMode(commands: ProbeCommands): Promise<ModeParameters> {
  let found: ModeParameters | undefined;
  for (const page of [ModePage.caching, ModePage.all]) {
    found ??= await commands.optionalParsed(
      'MODE SENSE(6)',
      modeSense6Cdb(page, modeLength),
      modeLength,
      parseModeSense6,
    );
    found ??= await commands.optionalParsed(
      'MODE SENSE(10)',
      modeSense10Cdb(page, modeLength),
      modeLength,
      parseModeSense10,
    );
  }
  return found ?? noMode;
}

interface Operations {
  readonly writeSame16: SupportedOperation | undefined;
  readonly getLbaStatus: SupportedOperation | undefined;
  readonly synchronizeCache16: SupportedOperation | undefined;
}

/** REPORT SUPPORTED OPERATION CODES is optional itself: a refusal says nothing. */
async function probeOperations(commands: ProbeCommands, lbpme: boolean): Promise<Operations> {
  const ask = (
    operationCode: number,
    serviceAction?: number,
  ): Promise<SupportedOperation | undefined> =>
    commands.optionalParsed(
      'REPORT SUPPORTED OPERATION CODES',
      reportSupportedOperationCodeCdb(operationCode, serviceAction, operationLength),
      operationLength,
      parseSupportedOperation,
    );
  const synchronizeCache16 = await ask(OperationCode.synchronizeCache16);
  if (synchronizeCache16 === undefined) {
    return { synchronizeCache16, writeSame16: undefined, getLbaStatus: undefined };
  }
  return {
    synchronizeCache16,
    writeSame16: await ask(OperationCode.writeSame16),
    getLbaStatus: lbpme
      ? await ask(OperationCode.serviceActionIn16, ServiceAction.getLbaStatus)
      : undefined,
  };
}

function profileOf(
  inquiry: InquiryData,
  pages: Pages,
  capacity: Capacity,
  commands16: boolean,
  mode: ModeParameters,
  operations: Operations,
): LogicalUnitProfile {
  const { limits, provisioning, serialNumber, designators } = pages;
  const { blocks, logicalBlockLength, physicalBlockLength, lbpme } = capacity;
  const claimsWriteSame =
    (lbpme && provisioning.lbpws) || limits.maximumWriteSameLength > 0 ? true : undefined;
  const writeSameUsage = operations.writeSame16?.usage[1] ?? 0;
  return {
    identity: {
      name: identityName(designators, serialNumber, inquiry),
      blocks,
      logicalBlockLength,
    },
    vendor: inquiry.vendor,
    product: inquiry.product,
    revision: inquiry.revision,
    serialNumber,
    peripheralDeviceType: inquiry.peripheralDeviceType,
    blocks,
    logicalBlockLength,
    physicalBlockLength,
    readOnly: mode.writeProtected || inquiry.peripheralDeviceType === PeripheralDeviceType.cdDvd,
    rotational: pages.rotationRate !== 1,
    dpoFua: mode.dpoFua,
    writeCacheEnabled: mode.writeCacheEnabled,
    commands16,
    limits,
    provisioning: { ...provisioning, lbprz: provisioning.lbprz || capacity.lbprz },
    lbpme,
    writeSame16: operations.writeSame16?.supported ?? claimsWriteSame,
    writeSameNdob:
      operations.writeSame16?.supported === true && (writeSameUsage & WriteSameFlag.ndob) !== 0,
    getLbaStatus: operations.getLbaStatus?.supported,
    synchronizeCache16: operations.synchronizeCache16?.supported,
  };
}
