import { deploymentSchema, type Deployment } from '../deployment/schema.ts';
import { UserError } from '../deployment/errors.ts';
import type { CommandContext } from './context.ts';
import { readDeployment, statePaths } from './deployment-folder.ts';

/**
 * The deployment as it was last applied (mcp-deploy.yaml may have been edited
 * since), with the names and TLS source that the user wrote when the file is
 * unchanged in meaning. Null when nothing was applied in this folder.
 */
export async function readAppliedDeployment(context: CommandContext): Promise<Deployment | null> {
  const applied = await context.ports.files.read(statePaths(context.stateDir).serverConfig);
  if (applied === null) return null;
  const loaded = await readDeployment(context);
  if (loaded !== null) return loaded.deployment;
  // The user's file is gone; what was applied still says everything that the server needs.
  const parsed = deploymentSchema.safeParse(
    (JSON.parse(applied.toString('utf8')) as { deployment?: unknown }).deployment,
  );
  if (parsed.success) return parsed.data;
  throw new UserError(`${statePaths(context.stateDir).serverConfig} is not as mcp-deploy wrote it.`, {
    why: 'It was edited or comes from another version.',
    next: 'mcp-deploy up        writes it anew',
  });
}
