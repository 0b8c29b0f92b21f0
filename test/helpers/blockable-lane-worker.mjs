// A lane that stops in the middle of its loop while the first word of `block` is 1, and says so in the second.
import { workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

const { block } = workerData;
setInterval(() => {
  while (Atomics.load(block, 0) === 1) {
    Atomics.store(block, 1, 1);
    Atomics.wait(block, 0, 1);
  }
}, 1).unref();

register();
await import('../../daemon/lane/lane-worker.ts');
