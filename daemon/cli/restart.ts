import { callControl } from '../control/client.ts';
import { controlSocketOption, defineCommand } from './options.ts';

export const restartCommand = defineCommand({
  command: 'restart',
  describe:
    'let a running daemon become a new one (after an upgrade, or for a new configuration); I/O waits meanwhile',
  builder: (builder) =>
    builder.options(controlSocketOption).example('$0 restart', 'mounted devices stay mounted'),
  handler: (options) => restartDaemon(options),
});

/** `iserctl restart`: resolves when the daemon has begun to hand its devices over to itself. */
export async function restartDaemon({ socket }: { readonly socket: string }): Promise<void> {
  await callControl(socket, 'restart');
}
