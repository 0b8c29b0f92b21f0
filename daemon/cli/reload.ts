import { callControl } from '../control/client.ts';
import { reloadResult, type ReloadResult } from '../control/messages.ts';
import { controlSocketOption, defineCommand, jsonOption } from './options.ts';
import { formatTable } from './table.ts';

export const reloadCommand = defineCommand({
  command: 'reload',
  describe:
    'have the daemon take up its configuration anew; volumes that stay as they are notice nothing',
  builder: (builder) =>
    builder
      .options({ ...controlSocketOption, ...jsonOption })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'also where it detaches a device in use: its users get I/O errors',
      })
      .example('$0 reload', 'after an edit of iserd.toml or conf.d'),
  handler: (options) => reloadDaemon(options),
});

/** Exit code 1 when a volume was refused or failed. */
async function reloadDaemon(options: {
  readonly socket: string;
  readonly json: boolean;
  readonly force: boolean;
}): Promise<void> {
  const { socket, force } = options;
  const result = reloadResult.parse(await callControl(socket, 'reload', { force }));
  process.stdout.write(
    options.json ? `${JSON.stringify(result, undefined, 2)}\n` : describeReload(result),
  );
  const bad = result.volumes.filter(({ outcome }) => outcome === 'refused' || outcome === 'failed');
  if (bad.length > 0) process.exitCode = 1;
}

/** A line per volume, and what only a restart takes up. */
export function describeReload({ volumes, restartKeys }: ReloadResult): string {
  const rows = volumes.map(({ name, outcome, keys, reason }) => [
    name,
    outcome,
    [keys.join(', '), reason ?? ''].filter((part) => part !== '').join(': '),
  ]);
  const parts =
    rows.length === 0
      ? ['no volumes, neither before nor now']
      : [formatTable(['VOLUME', 'OUTCOME', 'DETAILS'], rows)];
  if (restartKeys.length > 0)
    parts.push(`taken up by "iserctl restart" only: ${restartKeys.join(', ')}`);
  return `${parts.join('\n\n')}\n`;
}
