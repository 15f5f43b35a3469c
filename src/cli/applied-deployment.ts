import { readNewestRelease } from '../apply/commit.ts';
import { deploymentSchema, type Deployment } from '../deployment/schema.ts';
import { UserError } from '../deployment/errors.ts';
import type { CommandContext } from './context.ts';

/**
 * The deployment as it was last applied, whatever mcp-deploy.yaml says since:
 * what runs is what status, stop and doctor are about. Null when nothing was
 * applied in this folder.
 */
export async function readAppliedDeployment(context: CommandContext): Promise<Deployment | null> {
  const release = await readNewestRelease(context.ports.files, context.stateDir);
  if (release === null) return null;
  const parsed = deploymentSchema.safeParse(release.desired);
  if (parsed.success) return parsed.data;
  throw new UserError(`Release ${release.release} in ${context.stateDir} is not as this version writes it.`, {
    why: 'It was edited, or written by another version of mcp-deploy.',
    next: 'mcp-deploy up        applies anew',
  });
}
