/** Package entry `iserd/iscsi`: the initiator's protocol engines and PDU codecs. */
export { ChapAlgorithm, chapResponse, defaultChapAlgorithms } from './chap.ts';
export { SendTargetsCollector, parseSendTargets, sendTargetsText } from './discovery.ts';
export type { DiscoveredPortal, DiscoveredTarget } from './discovery.ts';
export { formatIsid, isidForName, makeIsid, parseIsid } from './isid.ts';
export { LoginEngine, LoginFailure, LoginStage } from './login.ts';
export type {
  ChapCredentials,
  DigestPreference,
  LoginOptions,
  LoginRequest,
  LoginResponse,
  LoginResult,
  LoginStep,
  SessionParameters,
} from './login.ts';
export { loginStatusOf } from './login-status.ts';
export type { LoginStatus } from './login-status.ts';
export { decodeLun, encodeLun, maxLun } from './lun.ts';
export { checkName, nameDefect } from './names.ts';
export * from './pdu/index.ts';
export { defaultPort, parseTargetAddress } from './target-address.ts';
export type { TargetAddress } from './target-address.ts';
export { TextAccumulator, formatText, parseTextMap, parseTextPairs } from './text-keys.ts';
export type { TextPair } from './text-keys.ts';
export { formatTargetUrl, parseTargetUrl } from './url.ts';
export type { TargetUrl } from './url.ts';
export type { LoginTemplate, TransportFactory } from './connection-contract.ts';
export { discoverTargets } from './discovery-session.ts';
export type { DiscoveryOptions } from './discovery-session.ts';
export type { IdentityCheck } from './identity-check.ts';
export type { PortalAddress, Resolver } from './recovery.ts';
export type { ScsiResult, ScsiSession } from './scsi-session.ts';
export { LoginRefusedError } from './session-lifetime.ts';
export { defaultSessionTimeouts } from './session-options.ts';
export type {
  SessionEvent,
  SessionOptions,
  SessionStatistics,
  SessionTimeouts,
} from './session-options.ts';
export { SessionEnd, SessionState } from './session-state.ts';
export { Session } from './session.ts';
export type { SessionLoad } from './session.ts';
export { TaskOutcome, TaskTable, cdbLength, senseCapacity } from './task-table.ts';
export type { TaskOwner } from './task-table.ts';
export { systemTimers } from '../timers.ts';
export type { Timers } from '../timers.ts';
export { openReactor } from '../reactor/open.ts';
export type { OpenReactor, ReactorOptions } from '../reactor/open.ts';
export type { Reactor } from '../reactor/reactor.ts';
export { IserTransport } from '../transport/iser/iser-transport.ts';
export type { IserTransportOptions } from '../transport/iser/iser-transport.ts';
export type { TransportOptions } from '../transport/options.ts';
export { TcpTransport } from '../transport/tcp/tcp-transport.ts';
