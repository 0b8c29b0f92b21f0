/** What registering memory costs by itself: the native calls on a device, without a daemon. */
import { RegistrationAccess } from '../../../src/memory/registration.ts';
import { CmEvent } from '../../../src/iser/verbs.ts';
import { openReactor, type OpenReactor } from '../../../src/reactor/open.ts';
import type { ObjectId, RdmaSink } from '../../../src/reactor/reactor.ts';
import type { RegistrationTime } from './results.ts';
import { spread } from '../summary.ts';

const sizes = [4 * 2 ** 10, 64 * 2 ** 10, 2 ** 20, 16 * 2 ** 20];
const arenaBytes = 32 * 2 ** 20;
const resolveTimeoutMs = 10_000;
const repetitions = 50;
const rights =
  RegistrationAccess.localWrite | RegistrationAccess.remoteRead | RegistrationAccess.remoteWrite;

interface OpenDevice {
  readonly open: OpenReactor;
  readonly protectionDomain: number;
}

/** `address`: one of this machine's, on the device. */
async function openDevice(address: string): Promise<OpenDevice> {
  const open = openReactor({ arenaBytes });
  const { reactor } = open;
  const connection = await new Promise<ObjectId>((resolve, reject) => {
    const sink: RdmaSink = {
      onCmEvent: (event, status) => {
        if (event === CmEvent.addressResolved) resolve(id);
        else reject(new Error(`${address}: event ${event}, status ${status}`));
      },
      onRdmaSent: () => undefined,
      onRdmaReceived: () => undefined,
      onDeviceEvent: () => undefined,
    };
    const id = reactor.rdmaOpen(sink);
    // The port is nobody's concern: nothing is connected.
    reactor.rdmaResolveAddress(id, address, 3260, resolveTimeoutMs);
  });
  const limits = { sendDepth: 1, receiveDepth: 1, maxInline: 0 };
  return { open, protectionDomain: reactor.rdmaCreateQueuePair(connection, limits) };
}

/** Whether the device can page request memory in on demand. */
export async function hasPaging(address: string): Promise<boolean> {
  const { open, protectionDomain } = await openDevice(address);
  try {
    return open.reactor.rdmaDeviceLimits(protectionDomain).onDemandPaging;
  } finally {
    open.close();
  }
}

export async function measureRegistration(address: string): Promise<RegistrationTime[]> {
  const device = await openDevice(address);
  const { reactor } = device.open;
  try {
    const { onDemandPaging } = reactor.rdmaDeviceLimits(device.protectionDomain);
    const kinds: RegistrationTime['kind'][] = ['pinned', 'pinned, first touch'];
    if (onDemandPaging) kinds.push('on demand');
    return kinds.flatMap((kind) => sizes.map((bytes) => timesOf(device, kind, bytes)));
  } finally {
    device.open.close();
  }
}

/** Pages that nobody has touched yet are allocated by the registration. */
function timesOf(
  { open, protectionDomain }: OpenDevice,
  kind: RegistrationTime['kind'],
  bytes: number,
): RegistrationTime {
  const { reactor } = open;
  const access = kind === 'on demand' ? rights | RegistrationAccess.onDemand : rights;
  const registering: number[] = [];
  const deregistering: number[] = [];
  reactor.arena.bytes.fill(1, 0, bytes);
  for (let i = 0; i < repetitions; i++) {
    if (kind === 'pinned, first touch') open.discard(0, bytes);
    const began = performance.now();
    const { id } = reactor.registerMemory(protectionDomain, 0, bytes, access);
    const registered = performance.now();
    reactor.deregisterMemory(id);
    deregistering.push((performance.now() - registered) * 1000);
    registering.push((registered - began) * 1000);
  }
  return {
    bytes,
    kind,
    registerMicroseconds: spread(registering).median,
    deregisterMicroseconds: spread(deregistering).median,
    repetitions,
  };
}
