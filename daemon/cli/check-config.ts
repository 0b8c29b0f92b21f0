import { readConfig } from '../config/load.ts';
import { forgetSecrets, planConfig, type ConfigPlan } from '../volume/plan.ts';
import { defineCommand } from './options.ts';
import { formatTable } from './table.ts';

export const checkConfigCommand = defineCommand({
  command: 'check-config [file]',
  describe:
    'read a configuration and the files that it names as a start would; no daemon is needed',
  builder: (builder) =>
    builder
      .positional('file', {
        type: 'string',
        default: '/etc/iserd/iserd.toml',
        describe: 'conf.d/*.toml beside it is read, too',
      })
      .example('$0 check-config && $0 reload', 'before it counts'),
  handler: ({ file }) => {
    // Throws ConfigurationError, exit code 2, with everything that is wrong.
    const plan = planConfig(readConfig(file));
    forgetSecrets(plan.volumes.map(({ spec }) => spec));
    process.stdout.write(describePlan(plan));
    return Promise.resolve();
  },
});

function describePlan({ volumes }: ConfigPlan): string {
  const rows = volumes.map(({ config, spec }) => [
    config.name,
    spec.target,
    config.device,
    config.socket ?? '-',
  ]);
  if (rows.length === 0) return 'OK: no volumes; "iserctl attach" can bring some\n';
  return `OK\n${formatTable(['VOLUME', 'TARGET', 'DEVICE', 'SOCKET'], rows)}\n`;
}
