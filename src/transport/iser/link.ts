/**
 * The RDMA connection below the PDUs: connection manager, queue pair, posted work, and its orderly end.
 *
 *   idle ─► resolvingAddress ─► resolvingRoute ─► connecting ─► established ─► draining ─► destroyed ─► closed
 *     └────────────┴──────────────────┴───────────────┴────────────────────────────────────►┘
 *
 * A DISCONNECTED event flushes nothing by itself: `draining` calls rdmaDisconnect (queue pair to ERROR) and waits until all
 * posted work has come back, at most `drainTimeoutMs`. Then the object is closed, which destroys the queue pair; only then no
 * peer can touch a buffer, and onDestroyed is called.
 */
import { assert } from '../../errors.ts';
import { controlHeaderLength } from '../../iser/header.ts';
import {
  initiatorDepth,
  privateData,
  responderResources,
  retryCount,
  rnrRetryCount,
} from '../../iser/connection-parameters.ts';
import {
  CmEvent,
  statusName,
  workCompletionFlushed,
  workCompletionSuccess,
} from '../../iser/verbs.ts';
import { type BufferPool, noBuffer } from '../../memory/buffer-pool.ts';
import { RegistrationAccess } from '../../memory/registration.ts';
import type { ObjectId, RdmaSink, Reactor } from '../../reactor/reactor.ts';
import { Ending } from '../ending.ts';
import { defaultConnectTimeoutMs, type TransportOptions } from '../options.ts';
import { CheckedState, type TransitionTable } from '../../checked-state.ts';
import { ConnectionEnd, type Portal } from '../transport.ts';
import { type ConnectionEnding, endOfCmEvent, endOfDeviceEvent, endOfNativeError } from './ends.ts';
import { ReceiveBuffers } from './receive-buffers.ts';

export type LinkState =
  | 'idle'
  | 'resolvingAddress'
  | 'resolvingRoute'
  | 'connecting'
  | 'established'
  | 'draining'
  | 'destroyed'
  | 'closed';

const transitions: TransitionTable<LinkState> = {
  idle: ['resolvingAddress', 'destroyed'],
  resolvingAddress: ['resolvingRoute', 'destroyed'],
  resolvingRoute: ['connecting', 'destroyed'],
  connecting: ['established', 'destroyed'],
  established: ['draining'],
  draining: ['destroyed'],
  destroyed: ['closed'],
  closed: [],
};

/** One round of address resolution; a dead neighbour is reported after it. */
const resolveTimeoutMs = 2000;
/** Flushed work comes back within milliseconds; a device that does not do it is not waited for. */
const drainTimeoutMs = 2000;
/** One in the session's hands, one at the device: a login response never meets an empty receive queue. */
export const loginReceives = 2;
/** NOP-In, Async Message and Reject that a target may send unasked. */
export const unsolicitedReceives = 4;

/** Bytes of arena per outbound header: iSER header and BHS, rounded up to cache lines. */
export const headerRoom = 128;

const noObject = -1;

export interface LinkEvents {
  /** The queue pair exists: the protection domain is known. */
  onProtectionDomain(protectionDomain: number): void;
  onEstablished(): void;
  /** The SEND with this tag has completed; its memory is free. */
  onSent(tag: number): void;
  /** `length` bytes have come into receive buffer `tag`. Post it again when it has been read. */
  onReceived(tag: number, length: number): void;
  /** The same, but the peer has disconnected since: nothing can be answered. */
  onReceivedLate(tag: number, length: number): void;
  /** No peer can reach any memory through this connection any more. */
  onDestroyed(): void;
  onClosed(end: ConnectionEnd, detail: string): void;
}

export class IserLink implements RdmaSink {
  readonly #options: TransportOptions;
  readonly #reactor: Reactor;
  readonly #pool: BufferPool;
  readonly #events: LinkEvents;
  readonly #ending: Ending;
  readonly #state = new CheckedState<LinkState>('iSER link', transitions, 'idle');
  #connection: ObjectId = noObject;
  #domain = -1;
  #receives: ReceiveBuffers | undefined;
  #headers = noBuffer;
  #headerRegion = -1;
  #headerKey = 0;
  #sendsPosted = 0;
  #deviceRemoved = false;
  /** The end was begun by a flushed completion: what follows may tell the cause. */
  #causeOpen = false;

  constructor(options: TransportOptions, events: LinkEvents) {
    this.#options = options;
    this.#reactor = options.reactor;
    this.#pool = options.pool;
    this.#events = events;
    this.#ending = new Ending(options.schedule);
  }

  get state(): LinkState {
    return this.#state.current;
  }

  get isEstablished(): boolean {
    return this.#state.current === 'established';
  }

  /** Whether the end has come, or was followed, by the news that the device is gone. */
  get deviceRemoved(): boolean {
    return this.#deviceRemoved;
  }

  /** Arena offset of the outbound headers, headerRoom bytes per PDU; valid from onProtectionDomain on. */
  get headers(): number {
    return this.#headers;
  }

  receiveOffset(tag: number): number {
    assert(this.#receives !== undefined, 'receives exist once there is a queue pair');
    return this.#receives.offset(tag);
  }

  connect(portal: Portal): void {
    if (this.#ending.end !== undefined) return;
    this.#state.enter('resolvingAddress');
    const timeoutMs = this.#options.connectTimeoutMs ?? defaultConnectTimeoutMs;
    this.#ending.arm(timeoutMs, () => {
      this.end(ConnectionEnd.connectTimeout, `no connection after ${timeoutMs} ms`);
    });
    this.#guard(ConnectionEnd.unreachable, () => {
      this.#connection = this.#reactor.rdmaOpen(this);
      const { address, port } = portal;
      this.#reactor.rdmaResolveAddress(this.#connection, address, port, resolveTimeoutMs);
    });
  }

  /** Posts a SEND of a header room's first 76 bytes and of a data segment with its local key. */
  send(tag: number, header: number, dataOffset: number, dataLength: number, lkey: number): void {
    this.#sendsPosted++;
    this.#reactor.rdmaSend(
      this.#connection,
      tag,
      header,
      controlHeaderLength,
      this.#headerKey,
      dataOffset,
      dataLength,
      lkey,
    );
  }

  /** Gives a receive buffer back to the device; nothing after the end has begun. */
  repost(tag: number): void {
    if (this.isEstablished) this.#receives?.post(this.#connection, tag);
  }

  /** Has at least `count` receives made and posted. On failure the connection ends. */
  growReceives(count: number): void {
    const receives = this.#receives;
    if (receives === undefined) return;
    this.#guard(ConnectionEnd.internalError, () => {
      const before = receives.count;
      const enough = receives.grow(count);
      for (let tag = before; tag < receives.count; tag++) receives.post(this.#connection, tag);
      if (!enough) this.end(ConnectionEnd.internalError, 'no buffer memory for receives');
    });
  }

  /** The first reason wins. */
  end(end: ConnectionEnd, detail: string): void {
    if (!this.#ending.begin(end, detail)) return;
    this.#ending.disarm();
    if (!this.isEstablished) {
      this.#destroy();
      return;
    }
    this.#state.enter('draining');
    try {
      this.#reactor.rdmaDisconnect(this.#connection);
    } catch {
      // the device may be gone: the drain is bounded all the same
    }
    if (this.#outstanding() === 0) this.#destroy();
    else
      this.#ending.arm(drainTimeoutMs, () => {
        this.#destroy();
      });
  }

  onCmEvent(event: number, status: number): void {
    const ending = endOfCmEvent(event, status);
    if (ending !== undefined) this.#endBy(ending);
    else if (event === CmEvent.addressResolved) this.#onAddressResolved();
    else if (event === CmEvent.routeResolved) this.#onRouteResolved();
    else if (event === CmEvent.established) this.#onEstablished();
  }

  onDeviceEvent(event: number): void {
    const ending = endOfDeviceEvent(event);
    if (ending !== undefined) this.#endBy(ending);
  }

  onRdmaSent(tag: number, status: number, vendorError: number): void {
    this.#sendsPosted--;
    if (status !== workCompletionSuccess) this.#onFailed('SEND', status, vendorError);
    else if (this.isEstablished) this.#events.onSent(tag);
    this.#drained();
  }

  onRdmaReceived(tag: number, length: number, status: number, vendorError: number): void {
    if (this.#receives !== undefined) this.#receives.posted--;
    if (status !== workCompletionSuccess) this.#onFailed('receive', status, vendorError);
    else if (this.isEstablished) this.#events.onReceived(tag, length);
    else if (this.#ending.end === ConnectionEnd.peerClosed)
      this.#events.onReceivedLate(tag, length);
    else if (this.#state.current === 'connecting')
      this.end(ConnectionEnd.protocolError, 'the target sent a PDU before the login');
    this.#drained();
  }

  #onAddressResolved(): void {
    if (this.#state.current !== 'resolvingAddress') return;
    this.#guard(ConnectionEnd.internalError, () => {
      const { pduCapacity } = this.#options;
      const receiveDepth = pduCapacity + unsolicitedReceives + loginReceives;
      const limits = { sendDepth: pduCapacity, receiveDepth, maxInline: controlHeaderLength };
      const domain = this.#reactor.rdmaCreateQueuePair(this.#connection, limits);
      this.#receives = new ReceiveBuffers(this.#reactor, this.#pool, domain, receiveDepth);
      if (!this.#makeHeaders(domain)) {
        this.end(ConnectionEnd.internalError, 'no buffer memory for the connection');
        return;
      }
      this.#state.enter('resolvingRoute');
      this.#domain = domain;
      this.#events.onProtectionDomain(domain);
      this.#reactor.rdmaResolveRoute(this.#connection, resolveTimeoutMs);
    });
  }

  #onRouteResolved(): void {
    if (this.#state.current !== 'resolvingRoute') return;
    this.growReceives(loginReceives);
    if (this.#ending.end !== undefined) return;
    this.#guard(ConnectionEnd.unreachable, () => {
      const { maxQpReadAtomic } = this.#reactor.rdmaDeviceLimits(this.#domain);
      this.#state.enter('connecting');
      this.#reactor.rdmaConnect(this.#connection, {
        responderResources: responderResources(maxQpReadAtomic),
        initiatorDepth,
        retryCount,
        rnrRetryCount,
        privateData,
      });
    });
  }

  #onEstablished(): void {
    if (this.#state.current !== 'connecting') return;
    this.#ending.disarm();
    this.#state.enter('established');
    this.#events.onEstablished();
  }

  /** False when the pool has no memory. Throws NativeError. */
  #makeHeaders(domain: number): boolean {
    const length = this.#options.pduCapacity * headerRoom;
    this.#headers = this.#pool.allocate(length);
    if (this.#headers === noBuffer) return false;
    const { localWrite } = RegistrationAccess;
    const region = this.#reactor.registerMemory(domain, this.#headers, length, localWrite);
    this.#headerRegion = region.id;
    this.#headerKey = region.lkey;
    return true;
  }

  /** What a native call throws ends the connection. */
  #guard(otherwise: ConnectionEnd, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
      this.#endBy(endOfNativeError(error, otherwise));
    }
  }

  #endBy({ end, detail }: ConnectionEnding): void {
    if (end === ConnectionEnd.deviceRemoved) this.#deviceRemoved = true;
    // DISCONNECTED also answers our own rdmaDisconnect
    if (end !== ConnectionEnd.peerClosed) this.#refineCause(end, detail);
    this.end(end, detail);
  }

  #onFailed(what: string, status: number, vendorError: number): void {
    const flushed = status === workCompletionFlushed;
    const detail = `${what} completed with ${statusName(status)}, vendor error ${vendorError}`;
    if (!flushed) this.#refineCause(ConnectionEnd.completionError, detail);
    if (this.#ending.end !== undefined) return;
    this.#causeOpen = flushed;
    this.end(ConnectionEnd.completionError, detail);
  }

  /** A flush is a consequence: the first thing heard after it that is not one is the cause. */
  #refineCause(end: ConnectionEnd, detail: string): void {
    if (!this.#causeOpen) return;
    this.#causeOpen = false;
    this.#ending.end = end;
    this.#ending.detail = detail;
  }

  #outstanding(): number {
    return this.#sendsPosted + (this.#receives?.posted ?? 0);
  }

  #drained(): void {
    if (this.#state.current === 'draining' && this.#outstanding() === 0) this.#destroy();
  }

  #destroy(): void {
    this.#state.enter('destroyed');
    this.#ending.disarm();
    if (this.#connection !== noObject) this.#reactor.close(this.#connection);
    this.#receives?.release();
    if (this.#headerRegion >= 0) this.#reactor.deregisterMemory(this.#headerRegion);
    if (this.#headers !== noBuffer) this.#pool.release(this.#headers);
    this.#headers = noBuffer;
    this.#events.onDestroyed();
    this.#ending.later(() => {
      this.#state.enter('closed');
      this.#events.onClosed(this.#ending.end ?? ConnectionEnd.internalError, this.#ending.detail);
    });
  }
}
