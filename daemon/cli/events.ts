import { CodedError } from '../../src/errors.ts';
import { formatSize } from '../config/size.ts';
import { followControl } from '../control/client.ts';
import { eventSchema, type DaemonEvent } from '../control/event-schema.ts';
import { controlSocketOption, defineCommand, jsonOption } from './options.ts';

export const eventsCommand = defineCommand({
  command: 'events',
  describe: 'follow what happens to volumes, sessions and devices, until the daemon or you end it',
  builder: (builder) =>
    builder
      .options({ ...controlSocketOption, ...jsonOption })
      .example('$0 events', 'a line each')
      .example('$0 events --json', 'a JSON object on each line, for scripts'),
  handler: (options) => followEvents(options),
});

/** Resolves when the daemon has said that it ends, or standard output is closed; rejects when it is gone without a word. */
async function followEvents({
  socket,
  json,
}: {
  readonly socket: string;
  readonly json: boolean;
}): Promise<void> {
  const end = new AbortController();
  // `iserctl events | head` is over when head is.
  process.stdout.on('error', () => {
    end.abort();
  });
  let last: DaemonEvent | undefined;
  await followControl(
    socket,
    'events',
    (params) => {
      const result = eventSchema.safeParse(params);
      // Of a newer daemon: what this program does not know is for scripts to understand.
      if (result.success) last = result.data;
      if (json) process.stdout.write(`${JSON.stringify(params)}\n`);
      else if (result.success) process.stdout.write(`${describeEvent(result.data)}\n`);
    },
    end.signal,
  );
  if (end.signal.aborted || last?.event === 'daemon') return;
  throw new CodedError(
    'events-lost',
    'the daemon closed the connection; "iserctl status" says whether it runs, its log why (journalctl -u iserd)',
  );
}

/** One line: time, volume, what. */
export function describeEvent(event: DaemonEvent): string {
  const words = [event.time, 'volume' in event ? event.volume : 'iserd', ...wordsOf(event)];
  return words.join(' ');
}

function wordsOf(event: DaemonEvent): string[] {
  const because = (reason: string | undefined): string[] =>
    reason === undefined || reason === '' ? [] : [`(${reason})`];
  switch (event.event) {
    case 'volume':
      return [event.state, ...because(event.reason)];
    case 'session':
      return [`session ${event.session}`, event.change, ...because(event.reason)];
    case 'device':
      return [event.device, event.change, ...because(event.reason)];
    case 'geometry':
      return ['size', formatSize(event.beforeBytes), '->', formatSize(event.sizeBytes)];
    case 'client-dropped':
      return ['client dropped', ...because(event.reason)];
    case 'reload':
      return ['reload', event.outcome, ...because(event.reason)];
    case 'daemon':
      return [event.change, ...because(event.reason)];
  }
}
