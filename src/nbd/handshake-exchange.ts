import type { ArenaMemory, ObjectId, Reactor } from '../reactor/reactor.ts';
import { NbdEnd } from './end.ts';
import type { NbdExport } from './export.ts';
import type { Agreement, Handshake, HandshakeStep } from './handshake.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';

/** The connection, as its handshake phase sees it. */
export interface HandshakeHost {
  waitForBuffer(): void;
  /** The client knows that the transmission phase has begun. */
  onAgreed(nbdExport: NbdExport, agreement: Agreement): void;
  end(end: NbdEnd, detail: string): void;
}

const nothing = new Uint8Array(0);

/**
 * Carries the handshake engine's bytes. Stop and wait: a reply is sent, in pieces of `memoryLength`, before the next option is
 * looked at, so that a client that sends options and reads nothing costs nothing more.
 */
export class HandshakeExchange {
  readonly #host: HandshakeHost;
  readonly #reactor: Reactor;
  readonly #arena: ArenaMemory;
  readonly #stream: ObjectId;
  readonly #in: ReceiveBuffer;
  readonly #engine: Handshake;
  readonly #memory: number;
  readonly #memoryLength: number;
  /** What is left of the reply being sent, and what to do after it. */
  #output: Uint8Array = nothing;
  #sending = false;
  #final: HandshakeStep | undefined;
  #endOfFile = false;

  constructor(
    host: HandshakeHost,
    reactor: Reactor,
    stream: ObjectId,
    receiveBuffer: ReceiveBuffer,
    engine: Handshake,
    memory: number,
    memoryLength: number,
  ) {
    this.#host = host;
    this.#reactor = reactor;
    this.#arena = reactor.arena;
    this.#stream = stream;
    this.#in = receiveBuffer;
    this.#engine = engine;
    this.#memory = memory;
    this.#memoryLength = memoryLength;
  }

  start(): void {
    this.#send(this.#engine.greeting());
  }

  onEndOfFile(): void {
    this.#endOfFile = true;
  }

  /** The end that the client has asked for and that is only waiting for its reply to be sent. */
  get pendingEnd(): NbdEnd | undefined {
    return this.#final?.kind === 'close' ? this.#final.end : undefined;
  }

  /** Looks at what has landed. */
  advance(): void {
    const buffer = this.#in;
    while (!this.#sending && !buffer.posted && this.#final === undefined) {
      const from = buffer.position;
      const step = this.#engine.receive(this.#arena.bytes.subarray(from, from + buffer.available));
      buffer.consume(step.consumed);
      if (step.kind !== 'more') {
        if (step.kind !== 'reply') this.#final = step;
        this.#send(step.output);
      } else if (step.needed > buffer.available) {
        this.#more(step.needed);
        return;
      }
    }
  }

  onSent(): void {
    this.#sending = false;
    if (this.#output.length > 0) this.#send(this.#output);
    else if (this.#final !== undefined) this.#conclude(this.#final);
    else this.advance();
  }

  #more(needed: number): void {
    if (this.#endOfFile) this.#host.end(NbdEnd.peerClosed, 'end of file during the handshake');
    else if (!this.#in.receive(needed, Infinity)) this.#host.waitForBuffer();
  }

  #send(output: Uint8Array): void {
    if (output.length === 0 && this.#final !== undefined) {
      this.#conclude(this.#final);
      return;
    }
    const length = Math.min(output.length, this.#memoryLength);
    this.#arena.bytes.set(output.subarray(0, length), this.#memory);
    this.#output = output.subarray(length);
    this.#sending = true;
    this.#reactor.send(this.#stream, 0, this.#memory, length, 0, 0, true);
  }

  #conclude(step: HandshakeStep): void {
    if (step.kind === 'close') this.#host.end(step.end, step.detail);
    else if (step.kind === 'transmission') this.#host.onAgreed(step.nbdExport, step.agreement);
  }
}
