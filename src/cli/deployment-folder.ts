import { parseDeployment, formatProblems, type ParsedDeployment } from '../deployment/parse-deployment.ts';
import { parseWithSchemas } from '../deployment/parse-with-schemas.ts';
import type { Deployment } from '../deployment/schema.ts';
import { UserError } from '../deployment/errors.ts';
import { scopeOf } from '../plan/deployment-paths.ts';
import type { PlacedFiles } from '../plan/plan-sent-files.ts';
import type { CommandContext } from './context.ts';

export interface LoadedDeployment {
  readonly text: string;
  readonly deployment: Deployment;
}

/** Reads mcp-deploy.yaml; null when there is none. Throws UserError (exit 2) that lists every problem with its place. */
export async function readDeployment(context: CommandContext): Promise<LoadedDeployment | null> {
  const bytes = await context.ports.files.read(context.deploymentFile);
  if (bytes === null) return null;
  const text = bytes.toString('utf8');
  const parsed = await parseWithSchemas(text, { file: context.deploymentFile, env: context.world.env });
  return { text, deployment: deploymentOrThrow(parsed, context.deploymentFile) };
}

/** What is wanted: the file of this folder, or the text that is to be written there (`--from`) with the files beside it. */
export async function readWanted(
  context: CommandContext,
): Promise<{ readonly deployment: Deployment; readonly deploymentText: string | null; readonly placed?: PlacedFiles }> {
  const { deploymentSource } = context;
  if (deploymentSource === null)
    return { deployment: (await requireDeployment(context)).deployment, deploymentText: null };
  const text = (await context.ports.files.read(deploymentSource))?.toString('utf8');
  if (text === undefined)
    throw new UserError(`${deploymentSource} is not there.`, { next: 'Name another one with --from' });
  const parsed = await parseWithSchemas(text, { file: deploymentSource, env: context.world.env });
  const deployment = deploymentOrThrow(parsed, deploymentSource);
  const isSame = context.stageDir === null && deploymentSource === context.deploymentFile;
  if (scopeOf(context.stateDir) !== 'system' || isSame) return { deployment, deploymentText: text };
  const { readPlacedFiles } = await import('./placed-files.ts');
  return { deployment, deploymentText: text, placed: await readPlacedFiles(context, deployment, deploymentSource) };
}

/** The same, and a missing file is a UserError that names the next command. */
export async function requireDeployment(context: CommandContext): Promise<LoadedDeployment> {
  const loaded = await readDeployment(context);
  if (loaded !== null) return loaded;
  throw new UserError(`There is no deployment here: ${context.deploymentFile} does not exist.`, {
    next: 'mcp-deploy up        or: mcp-deploy init        or name another file with --file',
  });
}

/** Parses the text of the deployment file, or throws the UserError that lists all problems. */
export function parseOrThrow(text: string, { deploymentFile: file, world }: CommandContext): Deployment {
  return deploymentOrThrow(parseDeployment(text, { file, env: world.env }), file);
}

/** All that is wrong with the file is that variables are not set here. */
export class UnsetVariables extends UserError {
  override name = 'UnsetVariables';
}

function deploymentOrThrow(parsed: ParsedDeployment, file: string): Deployment {
  if (parsed.ok) return parsed.deployment;
  const count = parsed.problems.length;
  const Problem = parsed.problems.every(({ unset }) => unset !== undefined) ? UnsetVariables : UserError;
  throw new Problem(`${file} has ${count === 1 ? 'a problem' : `${count} problems`}; nothing was changed.`, {
    why: formatProblems(parsed.problems, file),
    next: 'Mend the file and run the command again. Every setting: mcp-deploy schema',
  });
}
