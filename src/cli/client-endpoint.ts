import { resolve } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import type { SnippetOptions } from '../clients/types.ts';
import { endpointUrl } from '../plan/endpoint-url.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';
import { slugFrom } from './slug.ts';

/**
 * The endpoint that a client is to use: the one that --url names, or the deployment of this folder.
 * @throws UserError when there is neither, or a file that a flag names is not there.
 */
export async function readClientEndpoint(context: CommandContext, options: FlagValues): Promise<SnippetOptions> {
  const keyVariable = textFlag(options, 'keyVariable') ?? 'MCP_KEY';
  const name = textFlag(options, 'name');
  const url = textFlag(options, 'url');
  const keyFile = await fileFlag(context, options, 'keyFile', '--key-file');
  const caFile = await fileFlag(context, options, 'ca', '--ca');
  if (url !== undefined) {
    const host = URL.canParse(url) ? new URL(url).hostname : '';
    return { name: name ?? slugFrom(host, 'mcp'), url, keyFile, caFile, keyVariable };
  }
  const deployment = await readAppliedDeployment(context);
  if (deployment === null) {
    throw new UserError('There is no deployment in this folder to connect to.', {
      next: 'mcp-deploy up        or name another endpoint: --url https://mcp.example.com/mcp --key-file FILE',
    });
  }
  const paths = deploymentPaths(context.stateDir);
  return {
    name: name ?? deployment.name,
    url: endpointUrl(deployment),
    keyFile: keyFile ?? (deployment.auth.required ? paths.firstKey : null),
    caFile: caFile ?? (deployment.tls.source === 'private-ca' ? paths.caCertificate : null),
    keyVariable,
  };
}

/** Absolute: clients start in folders of their own. */
async function fileFlag(
  context: CommandContext,
  options: FlagValues,
  name: string,
  flag: string,
): Promise<string | null> {
  const given = textFlag(options, name);
  if (given === undefined) return null;
  const path = resolve(context.world.cwd, given);
  if ((await context.ports.files.stat(path)) !== null) return path;
  throw new UserError(`${flag} ${given} is not there.`, { next: `Check the path: ls -l ${given}` });
}
