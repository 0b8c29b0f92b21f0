/** The daemon behind the control socket: does it answer, is it of our version, does it serve what it should. */
import { controlVersion, type Status } from '../control/protocol.ts';
import { note, ok, wrong, type Finding } from './finding.ts';

export type AskDaemon = () => Promise<unknown>;

export interface RunningDaemon {
  readonly findings: readonly Finding[];
  readonly pid: number | undefined;
  /** /dev/nbdN of its volumes. */
  readonly devices: ReadonlySet<string>;
}

/**
 * `ask` calls the daemon's `status`; `parse` reads what it answers, `volumes` is the number of those configured (a daemon is expected
 * then).
 */
export async function checkDaemon(
  ask: AskDaemon,
  parse: (answer: unknown) => Status,
  volumes: number,
): Promise<RunningDaemon> {
  const nothing = { pid: undefined, devices: new Set<string>() };
  let answer: unknown;
  try {
    answer = await ask();
  } catch (error) {
    const message = `no daemon answers: ${(error as Error).message}`;
    const cure =
      'systemctl start iserd, or iserd --config FILE; journalctl -u iserd says why it ended';
    return { ...nothing, findings: [note(message, volumes > 0 ? cure : undefined)] };
  }
  const version = (answer as { version?: unknown } | null)?.version;
  if (version !== controlVersion) {
    return {
      ...nothing,
      findings: [
        wrong(
          `the running daemon speaks version ${String(version)} of the control protocol, this iserctl version ${controlVersion}`,
          'bring the daemon up to date: iserctl restart (I/O goes on), or systemctl restart iserd',
        ),
      ],
    };
  }
  const status = parse(answer);
  return {
    findings: [
      ok(`a daemon answers (process ${status.pid}, ${status.volumes.length} volumes)`),
      ...status.volumes.map(checkVolume),
    ],
    pid: status.pid,
    devices: new Set(status.volumes.flatMap(({ device }) => (device === null ? [] : [device]))),
  };
}

function checkVolume(volume: Status['volumes'][number]): Finding {
  const { name, state, failure, sessions, device } = volume;
  if (state !== 'serving') {
    return wrong(
      `volume ${name} is ${state}${failure === null ? '' : `: ${failure}`}`,
      'the portal checks below may say why; the daemon tries again by itself unless the volume has failed',
    );
  }
  const down = sessions.filter((session) => session.state !== 'up');
  if (down.length > 0) {
    const [{ portal, state: sessionState }] = down;
    return wrong(
      `volume ${name} is serving, but a session is ${sessionState} (${portal}): its I/O waits`,
      'check the target and the way to it; the session comes back by itself',
    );
  }
  return ok(`volume ${name} is serving${device === null ? '' : ` as ${device}`}`);
}
