import { logLevels } from '../config/schema.ts';
import { callControl } from '../control/client.ts';
import { logLevelResult } from '../control/messages.ts';
import { controlSocketOption, defineCommand } from './options.ts';

export const logLevelCommand = defineCommand({
  command: 'log-level [level]',
  describe: 'show or set the least severe level that the daemon logs, until its next start',
  builder: (builder) =>
    builder
      .positional('level', { choices: logLevels, describe: 'without it the level is shown' })
      .options(controlSocketOption)
      .example('$0 log-level debug', 'everything'),
  handler: async ({ socket, level }) => {
    const parameters = level === undefined ? {} : { level };
    const answer = logLevelResult.parse(await callControl(socket, 'log-level', parameters));
    process.stdout.write(`${answer.level}\n`);
  },
});
