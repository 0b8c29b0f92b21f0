#!/usr/bin/env node
/** Entry of `iserd`: becomes what serves devices safely before anything else is loaded, then runs the daemon. */
import { becomeIoFlusher, mayServeDevice } from './launcher.ts';

const ioFlusher = mayServeDevice(process.argv.slice(2)) ? becomeIoFlusher() : '';
const { main } = await import('./main.ts');
await main(ioFlusher);
