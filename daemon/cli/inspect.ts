import { ConfigurationError } from '../../src/errors.ts';
import { formatSize } from '../config/size.ts';
import type { SessionReport } from '../lane/messages.ts';
import { formatFields } from './table.ts';
import { portalSpec, withLane, type TargetOptions } from './target-session.ts';
import { defineCommand, digestOptions, initiatorOptions, jsonOption } from './options.ts';

export const inspectCommand = defineCommand({
  command: 'inspect <url>',
  describe: 'log in to one LUN and show what it is and can do',
  builder: (builder) =>
    builder
      .positional('url', {
        type: 'string',
        demandOption: true,
        describe: 'iser://host[:port]/iqn/lun or iscsi://…',
      })
      .options({ ...initiatorOptions, ...jsonOption, ...digestOptions })
      .example(
        '$0 inspect iscsi://10.0.0.5/iqn.2026-11.org.example:disk/0',
        'identity, sizes, limits, negotiated keys',
      ),
  handler: (options) => printInspection(options),
});

/** `iserctl inspect URL`: one login, one probe, one logout. */
export async function printInspection(
  options: TargetOptions & { readonly json: boolean },
): Promise<void> {
  const { targetName, lun, ...rest } = portalSpec(options);
  if (targetName === undefined || lun === undefined) {
    throw new ConfigurationError(
      'bad-url',
      'the URL must name a target and a LUN: iser://host/iqn.…/0',
    );
  }
  const report = await withLane(rest, (lane) =>
    lane.handlers.openSession({ ...rest, targetName, lun }),
  );
  process.stdout.write(
    options.json ? `${JSON.stringify(report, undefined, 2)}\n` : describeReport(report),
  );
}

function describeReport(report: SessionReport): string {
  const { geometry } = report;
  const identity = {
    identity: report.identity,
    vendor: report.vendor,
    product: report.product,
    revision: report.revision,
    size: `${geometry.sizeBytes} bytes (${formatSize(geometry.sizeBytes)})`,
    ...report.features,
  };
  return `logical unit\n${formatFields(identity)}\nnegotiated at login\n${formatFields(report.keys)}\n`;
}
