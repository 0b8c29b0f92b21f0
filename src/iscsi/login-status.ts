/** Why a login failed. Logs, metrics and tests share these words. */
export const LoginFailure = {
  /** The target's answer breaks RFC 7143. */
  protocolError: 'protocol-error',
  /** Both sides are correct and cannot agree on a key. */
  negotiationFailed: 'negotiation-failed',
  authenticationFailed: 'authentication-failed',
  /** The target closed the connection instead of judging our CHAP response: most likely its refusal got lost. */
  authenticationUnanswered: 'authentication-unanswered',
  /** The target did not prove that it knows the secret (mutual CHAP). */
  targetAuthenticationFailed: 'target-authentication-failed',
  authorizationFailed: 'authorization-failed',
  targetNotFound: 'target-not-found',
  targetRemoved: 'target-removed',
  unsupportedVersion: 'unsupported-version',
  tooManyConnections: 'too-many-connections',
  missingParameter: 'missing-parameter',
  cannotIncludeInSession: 'cannot-include-in-session',
  sessionTypeNotSupported: 'session-type-not-supported',
  sessionDoesNotExist: 'session-does-not-exist',
  invalidDuringLogin: 'invalid-during-login',
  initiatorError: 'initiator-error',
  targetError: 'target-error',
  serviceUnavailable: 'service-unavailable',
  outOfResources: 'out-of-resources',
} as const;
export type LoginFailure = (typeof LoginFailure)[keyof typeof LoginFailure];

export interface LoginStatus {
  readonly failure: LoginFailure;
  readonly message: string;
  /** Whether the same login may succeed later without anybody changing the configuration. */
  readonly retryable: boolean;
}

type StatusRow = readonly [
  code: number,
  failure: LoginFailure,
  retryable: boolean,
  message: string,
];

/** Status-Class and Status-Detail (RFC 7143 §11.13.5), classes 2 and 3; class 1 redirects. */
const statusRows: readonly StatusRow[] = [
  [0x0200, LoginFailure.initiatorError, false, 'initiator error'],
  [0x0201, LoginFailure.authenticationFailed, false, 'authentication failure'],
  [
    0x0202,
    LoginFailure.authorizationFailed,
    false,
    'the initiator is not allowed to use the target',
  ],
  [0x0203, LoginFailure.targetNotFound, false, 'target not found'],
  [0x0204, LoginFailure.targetRemoved, false, 'target removed, no new address known'],
  [0x0205, LoginFailure.unsupportedVersion, false, 'unsupported iSCSI version'],
  [0x0206, LoginFailure.tooManyConnections, true, 'too many connections'],
  [0x0207, LoginFailure.missingParameter, false, 'missing parameter'],
  [0x0208, LoginFailure.cannotIncludeInSession, true, 'cannot include in session'],
  [0x0209, LoginFailure.sessionTypeNotSupported, false, 'session type not supported'],
  [0x020a, LoginFailure.sessionDoesNotExist, true, 'session does not exist'],
  [0x020b, LoginFailure.invalidDuringLogin, false, 'invalid request during login'],
  [0x0300, LoginFailure.targetError, true, 'target hardware or software error'],
  // Also what LIO says of a target name that it does not have, and of a portal group stuck in somebody's login.
  [0x0301, LoginFailure.serviceUnavailable, true, 'service unavailable (or no such target)'],
  [0x0302, LoginFailure.outOfResources, true, 'target out of resources'],
];

const statusByCode = new Map(statusRows.map((row) => [row[0], row]));

/** What a refusal means. Details that RFC 7143 does not list are taken as detail 0 of their class. */
export function loginStatusOf(statusClass: number, statusDetail: number): LoginStatus {
  const code = (statusClass << 8) | statusDetail;
  const row = statusByCode.get(code) ?? statusByCode.get(statusClass << 8);
  const shown = `0x${code.toString(16).padStart(4, '0')}`;
  if (row === undefined) {
    return {
      failure: LoginFailure.protocolError,
      message: `the target answered login status ${shown}, which RFC 7143 does not define`,
      retryable: false,
    };
  }
  return {
    failure: row[1],
    message: `the target refused the login: ${row[3]} (${shown})`,
    retryable: row[2],
  };
}
