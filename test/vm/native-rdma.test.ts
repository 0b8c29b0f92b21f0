/**
 * The native reactor's RDMA side against a real verbs device (rdma_rxe will do, its address in ISERD_TEST_RDMA_ADDRESS) and a target
 * nobody here wrote (tgt).
 */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { assert } from '../../src/errors.ts';
import { RegistrationAccess } from '../../src/memory/registration.ts';
import { NativeReactor } from '../../src/reactor/native-reactor.ts';
import { loadNative, type NativeArena } from '../../src/reactor/native.ts';
import type { ObjectId, RdmaSink } from '../../src/reactor/reactor.ts';
import { targets } from './guest/machine.ts';

const address = process.env['ISERD_TEST_RDMA_ADDRESS'] ?? '10.9.9.1';
// iSER's default: tgt 1.0.85 refuses its own port option.
const port = 3260;

/** rdma_cm_event_type. */
const CmEvent = {
  addressResolved: 0,
  addressError: 1,
  routeResolved: 2,
  rejected: 8,
  established: 9,
  disconnected: 10,
} as const;
/** ibv_event_type. */
const DeviceEvent = { portActive: 9, portError: 10 } as const;
const wcSuccess = 0;
const wcLocalProtectionError = 4;
const wcFlushError = 5;
const wcReceiverNotReady = 13;
const wcGeneralError = 21;

const headerBytes = 28 + 48;
const receiveBytes = headerBytes + 8192;
const depth = 16;

/** RFC 7145's private data: neither zero-based virtual addresses nor Send with Invalidate. */
const connectParameters = {
  responderResources: 4,
  initiatorDepth: 1,
  retryCount: 6,
  rnrRetryCount: 7,
  privateData: Uint8Array.of(0xc0, 0, 0, 0),
};

class RecordingRdmaSink implements RdmaSink {
  readonly cm: [event: number, status: number][] = [];
  readonly sent: [tag: number, status: number, detail: number][] = [];
  readonly received: [tag: number, length: number, status: number, detail: number][] = [];
  readonly deviceEvents: number[] = [];
  #changed: (() => void)[] = [];

  onCmEvent(event: number, status: number): void {
    this.cm.push([event, status]);
    this.#wake();
  }
  onRdmaSent(tag: number, status: number, vendorError: number): void {
    this.sent.push([tag, status, vendorError]);
    this.#wake();
  }
  /** How many sends had been reported when each receive was. */
  readonly sentBefore: number[] = [];
  onRdmaReceived(tag: number, length: number, status: number, vendorError: number): void {
    this.received.push([tag, length, status, vendorError]);
    this.sentBefore.push(this.sent.length);
    this.#wake();
  }
  onDeviceEvent(event: number): void {
    this.deviceEvents.push(event);
    this.#wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  async event(expected: number): Promise<number> {
    await this.until(() => this.cm.length > 0);
    const [event, status] = this.cm.shift()!;
    expect(event, `CM event (status ${status})`).to.equal(expected);
    return status;
  }

  #wake(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const resolve of waiting) resolve();
  }
}

/** An iSCSI login request of a discovery session, with iSER's control-type header in front (RFC 7145 §9.2). */
function loginRequest(): Buffer {
  const text = Buffer.from(
    'InitiatorName=iqn.2026-11.test:init\0SessionType=Discovery\0HeaderDigest=None\0DataDigest=None\0' +
      'RDMAExtensions=Yes\0InitiatorRecvDataSegmentLength=8192\0TargetRecvDataSegmentLength=8192\0' +
      'MaxRecvDataSegmentLength=8192\0',
  );
  const pdu = Buffer.alloc(headerBytes + ((text.length + 3) & ~3));
  pdu[0] = 0x10;
  const bhs = pdu.subarray(28, headerBytes);
  bhs[0] = 0x43; // immediate, Login Request
  bhs[1] = 0x87; // T=1, CSG=1, NSG=3
  bhs.writeUIntBE(text.length, 5, 3);
  bhs.writeUInt32BE(0x80123456, 8); // ISID
  bhs.writeUInt32BE(1, 16);
  bhs.writeUInt32BE(1, 24);
  text.copy(pdu, headerBytes);
  return pdu;
}

/** The network interface that has the address. */
function networkInterface(): string {
  const line = execFileSync('ip', ['-o', 'address', 'show', 'to', address], { encoding: 'utf8' });
  return line.split(/\s+/)[1];
}

/** Whether the target accepts an RDMA connection: tgt listens for these later than for TCP. */
async function listensForRdma(): Promise<boolean> {
  const native = loadNative();
  const arena = new native.Arena(4096, false);
  const reactor = new NativeReactor({ native, arena, capacity: 8, spinMicroseconds: 0 });
  const sink = new RecordingRdmaSink();
  const connection = reactor.rdmaOpen(sink);
  reactor.rdmaResolveAddress(connection, address, port, 2000);
  await sink.event(CmEvent.addressResolved);
  reactor.rdmaCreateQueuePair(connection, { sendDepth: 1, receiveDepth: 1, maxInline: 0 });
  reactor.rdmaResolveRoute(connection, 2000);
  await sink.event(CmEvent.routeResolved);
  reactor.rdmaConnect(connection, connectParameters);
  await sink.until(() => sink.cm.length > 0);
  reactor.closeAll();
  arena.close();
  return sink.cm[0][0] === CmEvent.established;
}

describe('native RDMA', function () {
  this.timeout(60_000);
  let arena: NativeArena;
  let reactor: NativeReactor;
  let sink: RecordingRdmaSink;

  before(() => {
    const devices = '/sys/class/infiniband';
    assert(existsSync(devices) && readdirSync(devices).length > 0, 'there is an RDMA device');
  });

  beforeEach(() => {
    const native = loadNative();
    arena = new native.Arena(1 << 20, false);
    reactor = new NativeReactor({ native, arena, capacity: 8, spinMicroseconds: 0 });
    sink = new RecordingRdmaSink();
  });

  afterEach(() => {
    reactor.closeAll();
    arena.close();
  });

  async function resolveAddress(to: RecordingRdmaSink): Promise<ObjectId> {
    const connection = reactor.rdmaOpen(to);
    reactor.rdmaResolveAddress(connection, address, port, 2000);
    await to.event(CmEvent.addressResolved);
    return connection;
  }

  async function connectTo(
    to: RecordingRdmaSink,
  ): Promise<{ connection: ObjectId; domain: number; lkey: number; region: number }> {
    const connection = await resolveAddress(to);
    const domain = reactor.rdmaCreateQueuePair(connection, {
      sendDepth: depth,
      receiveDepth: depth,
      maxInline: 76,
    });
    const { id, lkey } = reactor.registerMemory(
      domain,
      0,
      arena.buffer.byteLength,
      RegistrationAccess.localWrite,
    );
    reactor.rdmaResolveRoute(connection, 2000);
    await to.event(CmEvent.routeResolved);
    reactor.rdmaReceive(connection, 100, 65536, receiveBytes, lkey);
    await Promise.resolve();
    reactor.rdmaConnect(connection, connectParameters);
    await to.event(CmEvent.established);
    return { connection, domain, lkey, region: id };
  }

  it('reports what the device allows', async () => {
    const { domain } = await connectTo(sink);
    const limits = reactor.rdmaDeviceLimits(domain);
    expect(limits.device).to.be.oneOf(readdirSync('/sys/class/infiniband'));
    expect(limits.maxQpReadAtomic).to.be.greaterThan(0);
    expect(limits.maxQpWorkRequests).to.be.greaterThan(depth);
    expect(limits.onDemandPaging).to.be.a('boolean');
  });

  it('carries a login request to the target and its response back', async () => {
    const { connection, lkey } = await connectTo(sink);
    const request = loginRequest();
    Buffer.from(arena.buffer).set(request);
    // Two segments: headers inline-sized, text from elsewhere.
    Buffer.from(arena.buffer).set(request.subarray(headerBytes), 4096);
    const text = request.length - headerBytes;
    reactor.rdmaSend(connection, 7, 0, headerBytes, lkey, 4096, text, lkey);
    await sink.until(() => sink.sent.length === 1 && sink.received.length === 1);
    expect(sink.sent).to.deep.equal([[7, wcSuccess, 0]]);
    const [tag, length, status] = sink.received[0];
    expect(sink.sentBefore, 'the request before its answer').to.deep.equal([1]);
    expect([tag, status]).to.deep.equal([100, wcSuccess]);
    expect(length).to.be.greaterThan(headerBytes);
    const response = Buffer.from(arena.buffer, 65536, length);
    expect(response[28]).to.equal(0x23);
    expect(response.readUInt16BE(28 + 36), 'login status').to.equal(0);
  });

  it('flushes what is posted when the connection is disconnected', async () => {
    const { connection, lkey } = await connectTo(sink);
    for (let i = 1; i < depth; i++) reactor.rdmaReceive(connection, 100 + i, 65536, 4096, lkey);
    await Promise.resolve();
    reactor.rdmaDisconnect(connection);
    await sink.until(() => sink.received.length === depth);
    expect(sink.received.map(([tag]) => tag)).to.deep.equal(
      Array.from({ length: depth }, (_, i) => 100 + i),
    );
    expect(sink.received.every(([, , status]) => status === wcFlushError)).to.equal(true);
    reactor.rdmaDisconnect(connection); // again: nothing to do, no error
  });

  it('reports all sends when the connection is disconnected right after them', async () => {
    const { connection, lkey } = await connectTo(sink);
    for (let tag = 0; tag < depth; tag++)
      reactor.rdmaSend(connection, tag, 0, headerBytes, lkey, 0, 0, 0);
    await Promise.resolve();
    reactor.rdmaDisconnect(connection);
    await sink.until(() => sink.sent.length === depth && sink.received.length === 1);
    expect(sink.sent.map(([tag]) => tag)).to.deep.equal(Array.from({ length: depth }, (_, i) => i));
    // The target has fewer receives before a login.
    const possible = [wcSuccess, wcFlushError, wcReceiverNotReady];
    for (const [, status] of sink.sent) expect(status).to.be.oneOf(possible);
  });

  it('refuses more work requests than the queue pair was made for, and ranges outside the arena', async () => {
    const { connection, lkey } = await connectTo(sink);
    reactor.rdmaSend(connection, 1, arena.buffer.byteLength - 1, 2, lkey, 0, 0, 0);
    for (let i = 1; i <= depth; i++) reactor.rdmaReceive(connection, 100 + i, 65536, 4096, lkey);
    await sink.until(() => sink.sent.length === 1 && sink.received.length === 1);
    expect(sink.sent).to.deep.equal([[1, wcLocalProtectionError, constants.errno.EFAULT]]);
    expect(sink.received).to.deep.equal([
      [100 + depth, 0, wcGeneralError, constants.errno.ENOBUFS],
    ]);
  });

  it('refuses work requests before there is a queue pair', async () => {
    const connection = await resolveAddress(sink);
    reactor.rdmaReceive(connection, 3, 0, 4096, 0);
    await sink.until(() => sink.received.length === 1);
    expect(sink.received).to.deep.equal([[3, 0, wcGeneralError, constants.errno.ENOTCONN]]);
  });

  it('reports a rejected connect when nobody listens on the port', async () => {
    const connection = reactor.rdmaOpen(sink);
    reactor.rdmaResolveAddress(connection, address, port + 1, 2000);
    await sink.event(CmEvent.addressResolved);
    reactor.rdmaCreateQueuePair(connection, { sendDepth: 4, receiveDepth: 4, maxInline: 0 });
    reactor.rdmaResolveRoute(connection, 2000);
    await sink.event(CmEvent.routeResolved);
    reactor.rdmaConnect(connection, {
      responderResources: 1,
      initiatorDepth: 0,
      retryCount: 6,
      rnrRetryCount: 7,
      privateData: new Uint8Array(0),
    });
    expect(await sink.event(CmEvent.rejected)).to.equal(8); // invalid service id
  });

  it('shares one protection domain among connections, and keeps it while a region uses it', async () => {
    const first = await connectTo(sink);
    const other = new RecordingRdmaSink();
    const second = await connectTo(other);
    expect(second.domain).to.equal(first.domain);
    reactor.deregisterMemory(second.region);
    reactor.close(first.connection);
    reactor.close(second.connection);
    expect(reactor.rdmaDeviceLimits(first.domain).device).to.be.a('string');
    reactor.deregisterMemory(first.region);
    expect(() => reactor.rdmaDeviceLimits(first.domain))
      .to.throw()
      .with.property('code', 'EBADF');
  });

  it('registers and deregisters parts of the arena', async () => {
    const { domain } = await connectTo(sink);
    const access = RegistrationAccess.remoteRead | RegistrationAccess.remoteWrite;
    const a = reactor.registerMemory(domain, 4096 + 1, 8191, access);
    const b = reactor.registerMemory(domain, 4096, 4096, RegistrationAccess.remoteRead);
    expect(a.rkey).not.to.equal(b.rkey);
    reactor.deregisterMemory(a.id);
    reactor.deregisterMemory(b.id);
    expect(() => {
      reactor.deregisterMemory(a.id);
    })
      .to.throw()
      .with.property('code', 'EINVAL');
    expect(() => reactor.registerMemory(domain, arena.buffer.byteLength - 10, 11, access))
      .to.throw()
      .with.property('code', 'EFAULT');
    expect(() => reactor.registerMemory(domain, 0, 10, 0x80))
      .to.throw()
      .with.property('code', 'EINVAL');
  });

  it('closes a connection with receives posted at once, and reports nothing for it', async () => {
    const { connection, lkey } = await connectTo(sink);
    for (let i = 1; i < depth; i++) reactor.rdmaReceive(connection, 100 + i, 65536, 4096, lkey);
    await Promise.resolve();
    reactor.close(connection);
    expect(reactor.openObjects).to.equal(0);
    const other = new RecordingRdmaSink();
    await connectTo(other);
    expect(sink.received).to.deep.equal([]);
    expect(sink.cm).to.deep.equal([]);
  });

  it('reports an address to which there is no way', async () => {
    const connection = reactor.rdmaOpen(sink);
    try {
      reactor.rdmaResolveAddress(connection, '192.0.2.77', port, 500);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).syscall).to.equal('rdma_resolve_addr');
      return;
    }
    expect(await sink.event(CmEvent.addressError)).to.be.lessThan(0);
  });

  it('reports DISCONNECTED when the target is killed', async () => {
    const { connection } = await connectTo(sink);
    await targets.run('tgt_kill');
    await sink.event(CmEvent.disconnected);
    reactor.rdmaDisconnect(connection);
    await sink.until(() => sink.received.length === 1);
    expect(sink.received[0].slice(0, 3)).to.deep.equal([100, 0, wcFlushError]);
    await targets.run('tgt_up');
    while (!(await listensForRdma()));
  });

  it('tells every connection of the device of its port going down and up', async function () {
    const { domain } = await connectTo(sink);
    if (!reactor.rdmaDeviceLimits(domain).device.startsWith('rxe')) this.skip();
    const other = new RecordingRdmaSink();
    await connectTo(other);
    const link = networkInterface();
    execFileSync('ip', ['link', 'set', link, 'down']);
    await sink.until(() => sink.deviceEvents.includes(DeviceEvent.portError));
    await other.until(() => other.deviceEvents.includes(DeviceEvent.portError));
    execFileSync('ip', ['link', 'set', link, 'up']);
    await sink.until(() => sink.deviceEvents.includes(DeviceEvent.portActive));
  });
});
