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
