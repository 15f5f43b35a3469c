import { delimiter } from 'node:path';
import { ExplainedError } from '../deployment/errors.ts';
import { deploymentSchema } from '../deployment/schema.ts';

/**
 * The folders in which a command of an MCP server was looked for, one a line, in their order; none for any other failure. A
 * server in a folder has the PATH of the command that started it, unless the deployment gives the MCP server another one.
 */
export function describeSearchedPath(error: unknown, desired: unknown, env: NodeJS.ProcessEnv): readonly string[] {
  const said = error instanceof ExplainedError ? [error.message, error.why ?? '', ...error.excerpt].join('\n') : '';
  const command = /Command not found: "?([^\s"(]+)/.exec(said)?.[1];
  const parsed = deploymentSchema.safeParse(desired);
  if (command === undefined || !parsed.success || parsed.data.service.manager !== 'none') return [];
  const upstream = Object.values(parsed.data.server.upstreams).find(
    (each) => 'command' in each && each.command.startsWith(command),
  );
  const own = upstream !== undefined && 'env' in upstream ? upstream.env['PATH'] : undefined;
  // A reference in it is filled in by the server alone.
  if (own?.includes('${') === true) return [`PATH of the MCP server, from mcp-deploy.yaml: ${own}`];
  const folders = (own ?? env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return [
    `searched in this order (PATH${own === undefined ? '' : ' of mcp-deploy.yaml'}):`,
    ...folders.map((each) => `  ${each}`),
  ];
}
