/**
 * `iserd/nbd`: an NBD server as a library (proto.md). It needs a Reactor for its sockets, a BufferPool over the reactor's arena, and
 * BlockDevices to serve; it opens, listens and logs nothing of its own accord. `openReactor` makes the first, SlabPool of `iserd/memory` the
 * second.
 *
 *     const exports: ExportDirectory = {
 *       find: (name) => (name === 'disk' ? disk : undefined),
 *       list: () => [disk],
 *     };
 *     const listener = new NbdListener(listeningFd, {
 *       reactor,
 *       maximumClients: 64,
 *       onConnection: (fd) => {
 *         const events = { onClosed: () => listener.clientClosed() };
 *         new NbdConnection(fd, { reactor, pool, timers, events, serve: { exports } }).start();
 *       },
 *     });
 *
 * For the kernel's client give `serve: { device }` and one end of a socket pair; `transmissionFlags(device.geometry, false)` are
 * the flags to attach with. Newstyle handshake without TLS, simple and structured replies, base:allocation; no extended headers.
 */
export type { BlockDevice, BlockGeometry, ExtentList } from '../block/device.ts';
export { ExtentFlag } from '../block/device.ts';
export { BlockError, BlockFlag, BlockOperation, RequestTable } from '../block/request-table.ts';
export type { RequestOwner, RequestSlotWaiter } from '../block/request-table.ts';
export { NbdConnection } from './connection.ts';
export type { NbdConnectionEvents, NbdConnectionOptions, NbdPhase } from './connection.ts';
export { TransmissionFlag } from './constants.ts';
export { BatchClock } from '../batch-clock.ts';
export type { BatchSource } from '../batch-clock.ts';
export { Histogram } from '../histogram.ts';
export type { HistogramSnapshot } from '../histogram.ts';
export { errorsByReason, NbdCounter, nbdCounterCount } from './counters.ts';
export { NbdEnd } from './end.ts';
export { blockSizes, findExport, transmissionFlags } from './export.ts';
export type { BlockSizes, ExportDirectory, NbdExport } from './export.ts';
export { latencyKinds, RequestLatencies } from './latencies.ts';
export type { LatencyKind } from './latencies.ts';
export { defaultLimits } from './limits.ts';
export type { NbdLimits } from './limits.ts';
export { NbdListener } from './listener.ts';
export type { NbdListenerOptions } from './listener.ts';
export { LaneShares, VolumeShare } from './share.ts';
export { openReactor } from '../reactor/open.ts';
export type { OpenReactor, ReactorOptions } from '../reactor/open.ts';
export type { Reactor } from '../reactor/reactor.ts';
export { systemTimers } from '../timers.ts';
export type { Timers } from '../timers.ts';
