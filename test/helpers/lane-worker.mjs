// A lane's entry file for tests: worker threads do not inherit the loader that makes TypeScript run.
import { register } from 'tsx/esm/api';

register();
await import('../../daemon/lane/lane-worker.ts');
