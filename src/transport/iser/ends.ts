/** How events of the connection manager, the device and native calls end a connection. */
import { CmEvent, DeviceEvent } from '../../iser/verbs.ts';
import { ConnectionEnd } from '../transport.ts';

const noSuchDevice = 19;

/** REJECTED: reason codes of the InfiniBand connection manager. */
const invalidServiceId = 8;
const consumerDefined = 28;

export interface ConnectionEnding {
  readonly end: ConnectionEnd;
  readonly detail: string;
}

/** undefined: the event ends nothing. */
export function endOfCmEvent(event: number, status: number): ConnectionEnding | undefined {
  switch (event) {
    case CmEvent.addressError:
      if (status === -noSuchDevice)
        return { end: ConnectionEnd.noDevice, detail: 'no RDMA device reaches the address' };
      return { end: ConnectionEnd.unreachable, detail: `address not resolved, status ${status}` };
    case CmEvent.routeError:
      return { end: ConnectionEnd.unreachable, detail: `no route, status ${status}` };
    case CmEvent.unreachable:
      return { end: ConnectionEnd.unreachable, detail: `no answer to connect, status ${status}` };
    case CmEvent.connectError:
      return { end: ConnectionEnd.connectionReset, detail: `connect failed, status ${status}` };
    case CmEvent.rejected:
      return { end: ConnectionEnd.connectRefused, detail: rejectDetail(status) };
    case CmEvent.disconnected:
      return { end: ConnectionEnd.peerClosed, detail: 'the target disconnected' };
    case CmEvent.deviceRemoval:
      return { end: ConnectionEnd.deviceRemoved, detail: 'the RDMA device is being removed' };
    case CmEvent.addressChange:
      return { end: ConnectionEnd.addressChanged, detail: 'the address moved to another device' };
    default:
      return undefined;
  }
}

function rejectDetail(status: number): string {
  switch (status) {
    case invalidServiceId:
      return 'nobody listens on the port';
    case consumerDefined:
      return 'the target refused the connection';
    default:
      return `rejected with reason ${status}`;
  }
}

export function endOfDeviceEvent(event: number): ConnectionEnding | undefined {
  switch (event) {
    case DeviceEvent.deviceFatal:
      return { end: ConnectionEnd.deviceRemoved, detail: 'the RDMA device reported a fatal error' };
    case DeviceEvent.completionQueueError:
    case DeviceEvent.queuePairFatal:
    case DeviceEvent.queuePairRequestError:
    case DeviceEvent.queuePairAccessError:
      return { end: ConnectionEnd.completionError, detail: `queue pair event ${event}` };
    default:
      return undefined;
  }
}

/** A native call of the connection's set-up has thrown. */
export function endOfNativeError(error: unknown, otherwise: ConnectionEnd): ConnectionEnding {
  const missing =
    error instanceof Error &&
    (('errno' in error && error.errno === noSuchDevice) ||
      ('code' in error && error.code === 'ENODEV'));
  return { end: missing ? ConnectionEnd.noDevice : otherwise, detail: String(error) };
}
