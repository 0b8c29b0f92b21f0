import { ConfigurationError } from '../../src/errors.ts';
import type { DiscoveredTarget } from '../../src/iscsi/discovery.ts';
import { discoverTargets } from '../../src/iscsi/discovery-session.ts';
import { systemTimers } from '../../src/timers.ts';
import type { Lane } from '../lane/lane.ts';
import type { SessionSpec } from '../lane/messages.ts';
import { resolveHost } from '../lane/resolve-host.ts';
import { loginTemplate, transportFactory } from '../lane/session-settings.ts';
import { portalSpec, withLane, type TargetOptions } from './target-session.ts';
import { defineCommand, initiatorOptions, jsonOption } from './options.ts';

export const discoverCommand = defineCommand({
  command: 'discover <url>',
  describe: 'list the targets that a portal offers',
  builder: (builder) =>
    builder
      .positional('url', {
        type: 'string',
        demandOption: true,
        describe: 'iser://host[:port] or iscsi://host[:port]',
      })
      .options({ ...initiatorOptions, ...jsonOption })
      .example('$0 discover iser://10.0.0.5', 'targets and portals, over RDMA'),
  handler: (options) => printDiscovery(options),
});

/** `iserctl discover URL`: one discovery session, one SendTargets=All, one logout (RFC 7143 §4.3, Appendix C). */
export async function printDiscovery(
  options: TargetOptions & { readonly json: boolean },
): Promise<void> {
  const { targetName, lun, ...spec } = portalSpec(options);
  if (targetName !== undefined || lun !== undefined) {
    throw new ConfigurationError(
      'bad-url',
      'discovery asks a portal: the URL must end after host and port, as in iser://10.0.0.5',
    );
  }
  const targets = await withLane(spec, (lane) => discoverAt(lane, spec));
  process.stdout.write(
    options.json ? `${JSON.stringify(targets, undefined, 2)}\n` : describeTargets(targets),
  );
}

/** Asks the first portal of `spec`, over one lane. */
export function discoverAt(
  { memory }: Lane,
  spec: Omit<SessionSpec, 'targetName' | 'lun'>,
): Promise<DiscoveredTarget[]> {
  return discoverTargets({
    createTransport: transportFactory(spec.transport, memory),
    arena: memory.reactor.arena,
    pool: memory.pool,
    timers: systemTimers,
    resolve: resolveHost,
    portal: spec.portals[0],
    login: loginTemplate(spec),
    isid: spec.isid,
    timeoutMs: spec.loginTimeoutMs,
  });
}

/** A line per target, and under it one per portal; a target without portals is reached through the portal that was asked. */
export function describeTargets(targets: readonly DiscoveredTarget[]): string {
  if (targets.length === 0) return 'the portal offers no targets to this initiator\n';
  const lines = targets.flatMap(({ targetName, portals }) => [
    targetName,
    ...portals.map(({ address, port, tag }) => {
      const host = address.includes(':') ? `[${address}]` : address;
      return `  ${host}:${port},${tag}`;
    }),
  ]);
  return `${lines.join('\n')}\n`;
}
