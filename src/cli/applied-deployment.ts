import { readNewestRelease } from '../apply/commit.ts';
import { deploymentSchema, type Deployment } from '../deployment/schema.ts';
import { UserError } from '../deployment/errors.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import type { CommandContext } from './context.ts';
import { readDeployment } from './deployment-folder.ts';

/**
 * The deployment as it was last applied, whatever mcp-deploy.yaml says since:
 * what runs is what status, stop and doctor are about. Null when nothing was
 * applied in this folder.
 */
export async function readAppliedDeployment(context: CommandContext): Promise<Deployment | null> {
  const release = await readNewestRelease(context.ports.files, context.stateDir);
  if (release === null) {
    // Applied, and the record was lost since: what the user's file says is the best that is left.
    const applied = await context.ports.files.stat(deploymentPaths(context.stateDir).serverConfig);
    return applied === null ? null : ((await readDeployment(context))?.deployment ?? null);
  }
  const parsed = deploymentSchema.safeParse(release.desired);
  if (parsed.success) return parsed.data;
  throw new UserError(`Release ${release.release} in ${context.stateDir} is not as this version writes it.`, {
    why: 'It was edited, or written by another version of mcp-deploy.',
    next: 'mcp-deploy up        applies anew',
  });
}
