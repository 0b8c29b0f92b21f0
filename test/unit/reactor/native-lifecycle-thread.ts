/**
 * What native-lifecycle.test.ts runs in workers and child processes: echoes over a socket pair, and then ends in the way that
 * it was told.
 *   close    closes everything; must end by itself
 *   abandon  leaves everything open and exits
 *   stay     leaves everything open, says so and waits to be terminated
 *   idle     has an open reactor without objects; must end by itself
 */
import { parentPort, workerData } from 'node:worker_threads';
import { loadNative } from '../../../src/reactor/native.ts';
import { openReactor, RecordingSink } from './native-reactor-harness.ts';

const [ending, rounds] = (workerData ?? [process.argv[2], 100]) as [string, number];
const fixture = openReactor({ capacity: 8 });

async function echo(): Promise<void> {
  const [one, two] = loadNative().system.socketPair(0);
  const [a, b] = [new RecordingSink(), new RecordingSink()];
  const left = fixture.reactor.openStream(one, a);
  const right = fixture.reactor.openStream(two, b);
  b.react = (kind) => {
    if (kind !== 'received') return;
    fixture.reactor.send(right, 0, 64, 8, 0, 0, false);
    fixture.reactor.receive(right, 64, 8, 8);
  };
  fixture.reactor.receive(right, 64, 8, 8);
  for (let i = 1; i <= rounds; i++) {
    const text = String(i).padStart(8);
    fixture.put(0, text);
    fixture.reactor.receive(left, 128, 8, 8);
    fixture.reactor.send(left, 0, 0, 8, 0, 0, false);
    await a.wait('received', i);
    if (fixture.text(128, 8) !== text) throw new Error(`round ${i}: ${fixture.text(128, 8)}`);
  }
}

if (ending !== 'idle') await echo();
if (ending === 'close') fixture.close();
parentPort?.postMessage('echoed');
if (ending === 'abandon') process.exit(0);
