/**
 * The daemon's only door to system calls. The addon is loaded on first use, so that `--help` and configuration checks work
 * without it. Errors are NativeError: {code, errno, syscall}.
 */
import { loadNative, type NativeSystem } from '../src/reactor/native.ts';

export type System = NativeSystem;

const native = (): NativeSystem => loadNative().system;

/**
 * The kernel runs one nbd command at a time and some wait for I/O. Queueing them here keeps a stuck one from occupying every
 * thread of libuv's pool.
 */
export class CallQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `call` after all calls before it have settled, whatever their outcome. */
  run<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#last.then(call);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

const nbdCalls = new CallQueue();

export const system: System = {
  socketPair: (sendBufferSize) => native().socketPair(sendBufferSize),
  listenUnix: (path, mode, backlog, group) => native().listenUnix(path, mode, backlog, group),
  listenTcp: (address, port, backlog) => native().listenTcp(address, port, backlog),
  closeFd: (fd) => {
    native().closeFd(fd);
  },
  duplicateFd: (fd) => native().duplicateFd(fd),
  shutdownFd: (fd) => {
    native().shutdownFd(fd);
  },
  lockFile: (path) => native().lockFile(path),
  hasHungUp: (fd) => native().hasHungUp(fd),
  sdNotify: (state, fds) => native().sdNotify(state, fds),
  watchdogMicroseconds: () => native().watchdogMicroseconds(),
  listenFds: () => native().listenFds(),
  lockMemory: () => {
    native().lockMemory();
  },
  unlockMemory: () => {
    native().unlockMemory();
  },
  setIoFlusher: () => {
    native().setIoFlusher();
  },
  setOomScoreAdjust: (value) => {
    native().setOomScoreAdjust(value);
  },
  memlockLimit: () => native().memlockLimit(),
  execute: (program, argv, inheritedFds) => native().execute(program, argv, inheritedFds),
  nbdConnect: (attach) => nbdCalls.run(() => native().nbdConnect(attach)),
  nbdDisconnect: (index) => nbdCalls.run(() => native().nbdDisconnect(index)),
  nbdReconfigure: (attach) => nbdCalls.run(() => native().nbdReconfigure(attach)),
  rdmaDevices: () => native().rdmaDevices(),
  nbdStatus: () => nbdCalls.run(() => native().nbdStatus()),
};
