import { callControl } from '../control/client.ts';

/** `iserctl restart`: resolves when the daemon has begun to hand its devices over to itself. */
export async function restartDaemon({ socket }: { readonly socket: string }): Promise<void> {
  await callControl(socket, 'restart');
}
