/** What to do next about an error that iserctl prints. */
import { UsageError } from './daemon-arguments.ts';

/** The first that fits counts. What already says what to do is not among them. */
const advice: readonly (readonly [pattern: RegExp, hint: string])[] = [
  [/connect-refused/, 'nobody listens there: is it the right port, and does the target run?'],
  [/target not found|no such target/, '"iserctl discover" with host and port lists the targets'],
  [/no logical unit at this LUN/, 'which LUNs there are is for the target to say'],
  [/not allowed to use the target/, 'the target must let our initiator name in'],
  [/authentication/i, 'user and secret must be the same here and at the target'],
  [/ENOTFOUND|EAI_AGAIN|no address for/, 'is the host name right, and does name service answer?'],
  [
    /no login in time|not come in time|timed? ?out/i,
    '"iserctl doctor" with the URL checks the way',
  ],
  [/no such (file|directory)|ENOENT/, 'is the path right?'],
  [/EACCES|EPERM|permission/i, 'run it as root'],
];

/** The message, and in the same line a hint where it has none itself. */
export function withAdvice(error: Error): string {
  const { message } = error;
  if (error instanceof UsageError)
    return message.includes('--help') ? message : `${message}; see "iserctl --help"`;
  // Several problems of a configuration: each says where it is.
  if (message.includes('\n') || /iserctl |systemctl |--\w|chmod/.test(message)) return message;
  const hint = advice.find(([pattern]) => pattern.test(message))?.[1];
  return hint === undefined ? message : `${message}; ${hint}`;
}
