// What a process is after it has executed itself: one line of JSON. Its standard input and descriptor 3 must have come along.
import { readdirSync, readFileSync } from 'node:fs';
import { becomeIoFlusher, realLauncherSurroundings } from '../../../daemon/launcher.ts';

const surroundings = realLauncherSurroundings();
const { calls } = surroundings;
// The flag needs a capability that not every test machine gives; to execute oneself needs none.
const pretend = process.env.PRETEND === undefined ? {} : { setIoFlusher: () => undefined };
const reason = becomeIoFlusher({ ...surroundings, calls: { ...calls, ...pretend } });
const threads = readdirSync('/proc/self/task').map((thread) => {
  const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
});
const { LISTEN_PID, LISTEN_FDS, NOTIFY_SOCKET, WATCHDOG_PID } = process.env;
const input = readFileSync(0, 'utf8');
const { system } = await import('../../../daemon/system.ts');
console.log(
  JSON.stringify({
    reason,
    pid: process.pid,
    argv: readFileSync('/proc/self/cmdline', 'utf8').split('\0').slice(0, -1),
    title: process.title,
    environment: { LISTEN_PID, LISTEN_FDS, NOTIFY_SOCKET, WATCHDOG_PID },
    passed: system.listenFds().map(({ fd, listening }) => ({ fd, listening })),
    input,
    threads,
  }),
);
