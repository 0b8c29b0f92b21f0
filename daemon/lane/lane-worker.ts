/** Entry file of a lane's worker thread: messages in, a Lane behind them. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../src/errors.ts';
import { touchYoungGeneration } from './heap.ts';
import { Lane } from './lane.ts';
import type { LaneMessage, LaneOptions, LaneRequest } from './messages.ts';

const port = parentPort;
assert(port !== null, 'a lane is a worker thread');
const post = (message: LaneMessage): void => {
  port.postMessage(message);
};
const options = workerData as LaneOptions;
touchYoungGeneration(options.lanes);
const lane = new Lane(options, post);

port.on('message', (request: LaneRequest) => {
  const { sequence, method, parameters } = request;
  const handler = lane.handlers[method] as (parameters: unknown) => Promise<never>;
  Promise.resolve()
    .then(() => handler(parameters))
    .then(
      (result) => {
        post({ sequence, result });
      },
      (error: unknown) => {
        const { name, message, code = 'internal-error' } = error as Error & { code?: string };
        post({ sequence, failure: { name, code, message } });
      },
    )
    .finally(() => {
      if (method === 'close') port.close();
    });
});
