import { expect } from 'chai';
import {
  CompletionKind,
  completionWords,
  ControlWord,
  controlWords,
  Operation,
  SubmissionFlag,
  submissionWords,
} from '../../../src/reactor/layout.ts';
import { NativeReactor } from '../../../src/reactor/native-reactor.ts';
import type {
  Native,
  NativeArena,
  NativeReactor as NativeReactorObject,
} from '../../../src/reactor/native.ts';
import type { RdmaSink } from '../../../src/reactor/reactor.ts';
import { RecordingSink } from './native-reactor-harness.ts';

/** Stands in for the addon: keeps what was submitted, and lets the test write completion entries. */
class ScriptedAddon {
  readonly submissions: Uint32Array;
  readonly completions: Uint32Array;
  readonly control = new Uint32Array(controlWords);
  readonly submitted: number[][] = [];
  readonly calls: unknown[][] = [];
  readonly openObjects = 0;
  readonly #onCompletions: (count: number) => number;
  #nextId = 0x10000;

  constructor(_arena: NativeArena, capacity: number, onCompletions: (count: number) => number) {
    this.submissions = new Uint32Array(capacity * submissionWords);
    this.completions = new Uint32Array(capacity * completionWords);
    this.#onCompletions = onCompletions;
    opened.push(this);
  }

  submit(count: number): void {
    for (let i = 0; i < count; i++)
      this.submitted.push([...this.submissions.subarray(i * 12, i * 12 + 11)]);
  }

  /** Delivers entries [kind, object, tag, result, status, detail]. */
  deliver(...entries: number[][]): void {
    entries.forEach((entry, i) => {
      this.completions.set([...entry, 0, 0, 0, 0].slice(0, completionWords), i * completionWords);
    });
    this.submit(this.#onCompletions(entries.length));
  }

  readonly openStream = this.#opener('openStream');
  readonly connectStream = this.#opener('connectStream');
  readonly openListener = this.#opener('openListener');
  readonly rdmaOpen = this.#opener('rdmaOpen');
  readonly closeObject = this.#recorder('closeObject');
  readonly close = this.#recorder('close');
  readonly rdmaResolveAddress = this.#recorder('rdmaResolveAddress');
  readonly rdmaCreateQueuePair = this.#recorder('rdmaCreateQueuePair');
  readonly rdmaResolveRoute = this.#recorder('rdmaResolveRoute');
  readonly rdmaConnect = this.#recorder('rdmaConnect');
  readonly rdmaDisconnect = this.#recorder('rdmaDisconnect');

  #opener(name: string): (...values: unknown[]) => number {
    return (...values) => {
      this.calls.push([name, ...values]);
      return this.#nextId++;
    };
  }

  #recorder(name: string): (...values: unknown[]) => void {
    return (...values) => {
      this.calls.push([name, ...values]);
    };
  }
}

const opened: ScriptedAddon[] = [];

class RecordingRdmaSink implements RdmaSink {
  readonly events: [string, ...number[]][] = [];
  onCmEvent(...values: number[]): void {
    this.events.push(['cm', ...values]);
  }
  onRdmaSent(...values: number[]): void {
    this.events.push(['sent', ...values]);
  }
  onRdmaReceived(...values: number[]): void {
    this.events.push(['received', ...values]);
  }
  onDeviceEvent(...values: number[]): void {
    this.events.push(['device', ...values]);
  }
}

function openScripted(): { reactor: NativeReactor; addon: ScriptedAddon } {
  const native = {
    Reactor: ScriptedAddon as unknown as new (
      ...values: ConstructorParameters<typeof ScriptedAddon>
    ) => NativeReactorObject,
  } as unknown as Native;
  const arena = { buffer: new ArrayBuffer(4096), base: 0x7000n } as unknown as NativeArena;
  const reactor = new NativeReactor({ native, arena, capacity: 4, spinMicroseconds: 70 });
  return { reactor, addon: opened[opened.length - 1] };
}

describe('native reactor dispatch', () => {
  it('tells native code for how long to gather', () => {
    const { reactor, addon } = openScripted();
    expect(reactor.gathering).to.equal(false);
    reactor.gathering = true;
    expect(reactor.gathering).to.equal(true);
    expect(addon.control[ControlWord.gatherMicroseconds]).to.be.within(1, 1000);
    reactor.gathering = false;
    expect(addon.control[ControlWord.gatherMicroseconds]).to.equal(0);
  });

  it('tells native code for how long to poll', () => {
    const { reactor, addon } = openScripted();
    expect(reactor.polling).to.equal(true);
    expect(addon.control[ControlWord.spinMicroseconds]).to.equal(70);
    reactor.polling = false;
    expect(reactor.polling).to.equal(false);
    expect(addon.control[ControlWord.spinMicroseconds]).to.equal(0);
    reactor.polling = true;
    expect(addon.control[ControlWord.spinMicroseconds]).to.equal(70);
  });

  it('describes the arena', () => {
    const { arena } = openScripted().reactor;
    expect(arena.sizeBytes).to.equal(4096);
    expect(arena.base).to.equal(0x7000n);
    expect(arena.bytes.buffer).to.equal(arena.view.buffer);
  });

  it('hands each RDMA completion to the sink of its connection', () => {
    const { reactor, addon } = openScripted();
    const [one, two] = [new RecordingRdmaSink(), new RecordingRdmaSink()];
    const a = reactor.rdmaOpen(one);
    const b = reactor.rdmaOpen(two);
    addon.deliver(
      [CompletionKind.cmEvent, a, 0, 1, 0xffffff92],
      [CompletionKind.rdmaSend, b, 5, 0, 12, 34],
      [CompletionKind.rdmaReceive, a, 6, 124, 0, 0],
      [CompletionKind.deviceEvent, b, 0, 10, 0],
    );
    expect(one.events).to.deep.equal([
      ['cm', 1, -110],
      ['received', 6, 124, 0, 0],
    ]);
    expect(two.events).to.deep.equal([
      ['sent', 5, 12, 34],
      ['device', 10],
    ]);
  });

  it('drops entries of a closed connection and of kinds it does not know', () => {
    const { reactor, addon } = openScripted();
    const sink = new RecordingRdmaSink();
    const connection = reactor.rdmaOpen(sink);
    reactor.close(connection);
    addon.deliver(
      [CompletionKind.cmEvent, connection, 0, 1, 0],
      [CompletionKind.rdmaSend, connection, 5, 0, 0, 0],
      [CompletionKind.rdmaReceive, connection, 6, 1, 0, 0],
      [CompletionKind.deviceEvent, connection, 0, 10, 0],
    );
    addon.deliver([99, connection], [CompletionKind.connect, connection, 0, 0, 0]);
    expect(sink.events).to.deep.equal([]);
    expect(addon.calls.at(-1)).to.deep.equal(['closeObject', connection]);
  });

  it('does not hand a stream the completions of an older object in its place', () => {
    const { reactor, addon } = openScripted();
    const sink = new RecordingSink();
    const stream = reactor.openStream(3, sink);
    addon.deliver([CompletionKind.send, stream + 0x10000, 1, 0, 0]);
    addon.deliver([CompletionKind.send, stream, 2, 0, 0]);
    expect(sink.events).to.deep.equal([['sent', 2, 0]]);
  });

  it('closes an accepted descriptor whose listener is gone, and no descriptor when there is none', () => {
    const { reactor, addon } = openScripted();
    const listener = reactor.openListener(3, new RecordingSink());
    reactor.close(listener);
    addon.calls.length = 0;
    addon.deliver(
      [CompletionKind.accept, listener, 0, 17, 0],
      [CompletionKind.accept, listener, 0, 0xffffffff, 24],
    );
    expect(addon.calls).to.deep.equal([
      ['openStream', 17],
      ['closeObject', listener + 1],
    ]);
  });

  it('hands a failed accept to the sink with descriptor -1', () => {
    const { reactor, addon } = openScripted();
    const sink = new RecordingSink();
    const listener = reactor.openListener(3, sink);
    addon.deliver([CompletionKind.accept, listener, 0, 0xffffffff, 24]);
    expect(sink.events).to.deep.equal([['accepted', -1, 24]]);
  });

  it('writes RDMA work requests into submission entries', async () => {
    const { reactor, addon } = openScripted();
    const connection = reactor.rdmaOpen(new RecordingRdmaSink());
    reactor.rdmaSend(connection, 9, 64, 76, 11, 128, 512, 12);
    reactor.rdmaReceive(connection, 10, 1024, 204, 13);
    await Promise.resolve();
    expect(addon.submitted[0].slice(0, 10)).to.deep.equal([
      Operation.rdmaSend,
      ...[connection, 9, 64, 76, 11, 128, 512, 12, SubmissionFlag.inline],
    ]);
    expect(addon.submitted[1].slice(0, 6)).to.deep.equal([
      Operation.rdmaReceive,
      ...[connection, 10, 1024, 204, 13],
    ]);
  });

  it('carries out a full array in the middle of a dispatch, and the rest after it', () => {
    const { reactor, addon } = openScripted();
    const sink = new RecordingSink();
    const stream = reactor.openStream(3, sink);
    const atDispatchEnd: number[] = [];
    sink.react = () => {
      for (let i = 0; i < 6; i++) reactor.send(stream, i, 0, 1, 0, 0, false);
      atDispatchEnd.push(addon.submitted.length);
    };
    addon.deliver([CompletionKind.connect, stream, 0, 0, 0]);
    expect(atDispatchEnd).to.deep.equal([4]);
    expect(addon.submitted.map((entry) => entry[2])).to.deep.equal([0, 1, 2, 3, 4, 5]);
  });

  it('passes control calls on', () => {
    const { reactor, addon } = openScripted();
    const connection = reactor.rdmaOpen(new RecordingRdmaSink());
    const limits = { sendDepth: 1, receiveDepth: 2, maxInline: 3 };
    const parameters = {
      responderResources: 1,
      initiatorDepth: 2,
      retryCount: 3,
      rnrRetryCount: 4,
      privateData: new Uint8Array(4),
    };
    reactor.rdmaResolveAddress(connection, '10.9.9.1', 3260, 1000);
    reactor.rdmaCreateQueuePair(connection, limits);
    reactor.rdmaResolveRoute(connection, 1000);
    reactor.rdmaConnect(connection, parameters);
    reactor.rdmaDisconnect(connection);
    expect(addon.calls.slice(1)).to.deep.equal([
      ['rdmaResolveAddress', connection, '10.9.9.1', 3260, 1000],
      ['rdmaCreateQueuePair', connection, limits],
      ['rdmaResolveRoute', connection, 1000],
      ['rdmaConnect', connection, parameters],
      ['rdmaDisconnect', connection],
    ]);
  });

  it('calls the other batch-end listeners when one throws', async () => {
    const { reactor, addon } = openScripted();
    const calls: string[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
    reactor.addBatchEndListener(() => {
      throw new Error('listener bug');
    });
    reactor.addBatchEndListener(() => calls.push('second'));
    addon.deliver();
    const error = await thrown;
    for (const listener of listeners) process.on('uncaughtException', listener);
    expect((error as Error).message).to.equal('listener bug');
    expect(calls).to.deep.equal(['second']);
  });
});
