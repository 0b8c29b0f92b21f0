// Loaded into every Node.js of the guest (run.sh). V8 patches WebAssembly's jump table from a compiler thread while
// another CPU executes it; QEMU's emulation of several CPUs (7.2) sometimes runs the torn code, and Node.js, which parses
// every CommonJS module with WebAssembly, then ends with a segmentation fault: 4 of 50 starts. Code that is compiled once,
// and before it runs, is never patched.
'use strict';
const v8 = require('node:v8');

for (const flag of [
  '--no-wasm-tier-up',
  '--no-wasm-dynamic-tiering',
  '--no-wasm-lazy-compilation',
]) {
  v8.setFlagsFromString(flag);
}
