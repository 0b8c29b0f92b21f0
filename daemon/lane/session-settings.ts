/** From a lane's session specification to what the library's session is made of. */
import { randomBytes } from 'node:crypto';
import type { LoginTemplate, TransportFactory } from '../../src/iscsi/connection-contract.ts';
import type { SessionTimeouts } from '../../src/iscsi/session-options.ts';
import { systemTimers } from '../../src/timers.ts';
import { IserTransport } from '../../src/transport/iser/iser-transport.ts';
import { TcpTransport } from '../../src/transport/tcp/tcp-transport.ts';
import type { LaneMemory } from './lane-memory.ts';
import type { SessionSpec } from './messages.ts';

/** PDUs of a connection: commands and everything beside them. */
const pduCapacity = 320;
/** What we propose; targets lower it (RFC 7143 §13.13, §13.14). */
const maxBurstLength = 16_776_192;
/** Over iSER immediate data is at most 8 KiB; over TCP a write up to 64 KiB needs no R2T. */
const firstBurstLength = { iser: 8192, tcp: 65_536 } as const;

export function transportFactory(
  transport: SessionSpec['transport'],
  memory: LaneMemory,
): TransportFactory {
  const { reactor, sessionPool: pool, strategyFor, onDomainLeft } = memory;
  const common = {
    reactor,
    pool,
    pduCapacity,
    schedule: (delayMs: number, action: () => void) => systemTimers.schedule(delayMs, action),
  };
  return transport === 'iser'
    ? (events) => new IserTransport({ ...common, events, strategyFor, onDomainLeft })
    : (events) => new TcpTransport({ ...common, events });
}

type LoginSpec = Pick<
  SessionSpec,
  'initiatorName' | 'transport' | 'chap' | 'mutualChap' | 'headerDigest' | 'dataDigest'
> & { readonly targetName?: string };

export function loginTemplate(spec: LoginSpec): LoginTemplate {
  return {
    initiatorName: spec.initiatorName,
    ...(spec.targetName === undefined ? {} : { targetName: spec.targetName }),
    sessionType: spec.targetName === undefined ? 'Discovery' : 'Normal',
    firstBurstLength: firstBurstLength[spec.transport],
    maxBurstLength,
    immediateData: true,
    initialR2t: spec.transport === 'iser',
    headerDigest: spec.headerDigest,
    dataDigest: spec.dataDigest,
    ...(spec.chap === undefined ? {} : { chap: spec.chap }),
    ...(spec.mutualChap === undefined ? {} : { mutualChap: spec.mutualChap }),
    randomBytes: (length) => new Uint8Array(randomBytes(length)),
  };
}

export function sessionTimeouts(spec: SessionSpec): Partial<SessionTimeouts> {
  return {
    loginTimeoutMs: spec.loginTimeoutMs,
    nopIntervalMs: spec.nopIntervalMs,
    nopTimeoutMs: spec.nopTimeoutMs,
    commandTimeoutMs: spec.commandTimeoutMs,
    replacementTimeoutMs: spec.replacementTimeoutMs,
    startTimeoutMs: spec.startTimeoutMs,
  };
}
