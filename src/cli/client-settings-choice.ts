import { resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import type { McpClient } from '../clients/types.ts';
import { settingsPath } from './client-files.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';

/**
 * The settings file that the flags choose. @throws UserError where the client has none; EnvironmentError under sudo,
 * which would leave a file of root in somebody's home.
 */
export function chooseSettings(context: CommandContext, client: McpClient, options: FlagValues): string {
  const named = textFlag(options, 'settings');
  if (named !== undefined) return resolve(context.world.cwd, named);
  const project = options['project'] === true;
  const path = settingsPath(context, client, project);
  if (path === null) {
    throw new UserError(
      project ? `${client.title} has no settings of a project.` : `${client.title} does not run on this system.`,
      {
        next: project
          ? `mcp-deploy client add ${client.id}`
          : `mcp-deploy client print ${client.id}        or name its file: --settings FILE`,
      },
    );
  }
  if (!project && context.world.env['SUDO_USER'] !== undefined && process.getuid?.() === 0) {
    throw new EnvironmentError(`${client.title} keeps its settings in the home of its user, and this is root.`, {
      why: 'Through sudo the file would be that of root, or belong to root afterwards.',
      next: `Run it without sudo, or name the file: mcp-deploy client add ${client.id} --settings FILE`,
    });
  }
  return path;
}
