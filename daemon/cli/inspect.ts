import { formatSize } from '../config/size.ts';
import type { SessionReport } from '../lane/messages.ts';
import { formatFields } from './table.ts';
import { unitSpec, withLane, type TargetOptions } from './target-session.ts';
import { defineCommand, digestOptions, initiatorOptions, jsonOption, unitUrl } from './options.ts';

export const inspectCommand = defineCommand({
  command: 'inspect <url>',
  describe: 'log in to one LUN and show what it is and can do',
  builder: (builder) =>
    builder
      .positional('url', unitUrl)
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
  const spec = unitSpec(options);
  const report = await withLane(spec, (lane) => lane.handlers.openSession(spec));
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
