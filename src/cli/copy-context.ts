import { join } from 'node:path';
import type { CommandContext } from './context.ts';

/** The same run in another folder, where a deployment of one folder is tried; what its commands say is kept to themselves. */
export function copyContext(context: CommandContext, folder: string): CommandContext {
  return silenced({
    ...context,
    baseDir: folder,
    deploymentFile: join(folder, 'mcp-deploy.yaml'),
    stateDir: join(folder, '.mcp-deploy'),
    interactive: false,
    yes: true,
  });
}

/** A command that is a part of another one: what it says is for that one to say. */
export function silenced(context: CommandContext): CommandContext {
  const silent = (): void => {};
  return {
    ...context,
    output: {
      ...context.output,
      quiet: true,
      documentWritten: false,
      result: silent,
      document: silent,
      raw: silent,
      progress: silent,
      warning: silent,
    },
  };
}
