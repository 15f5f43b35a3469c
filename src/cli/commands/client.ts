import { relative } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import { clients, clientSnippet } from '../../clients/index.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import type { CommandContext } from '../context.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import { projectPaths } from '../../plan/project-paths.ts';

/** `mcp-deploy client list`. */
export async function runClientList(context: CommandContext): Promise<number> {
  context.output.document({ ok: true, clients: clients.map(({ id, title }) => ({ id, title })) });
  context.output.result(clients.map(({ id, title }) => `  ${id.padEnd(16)} ${title}`).join('\n'));
  return 0;
}

/** `mcp-deploy client print NAME`: the entry to paste; the key stays a reference. */
export async function runClientPrint(context: CommandContext, wanted: string): Promise<number> {
  if (!clients.some(({ id }) => id === wanted)) {
    throw new UserError(`${wanted} is not a client this tool knows.`, {
      why: `It knows ${clients.map(({ id }) => id).join(', ')}.`,
      next: 'mcp-deploy client list',
    });
  }
  const deployment = await readAppliedDeployment(context);
  if (deployment === null) {
    throw new UserError('There is no deployment in this folder to connect to.', { next: 'mcp-deploy up' });
  }
  const paths = projectPaths(context.stateDir);
  const snippet = clientSnippet(wanted, {
    name: deployment.name,
    url: endpointUrl(deployment),
    keyFile: deployment.auth.required ? paths.firstKey : null,
    caFile: deployment.tls.source === 'private-ca' ? paths.caCertificate : null,
    keyVariable: 'MCP_KEY',
  });
  context.output.document({ ok: true, ...snippet });
  if (!context.output.json) {
    context.output.progress(`  ${snippet.title}${snippet.file === null ? '' : `: ${snippet.file}`}\n`);
    context.output.result(snippet.text);
    for (const note of snippet.notes) context.output.progress(`  ${context.output.err.dim('·')} ${note}`);
    if (deployment.auth.required) {
      context.output.progress(
        `  ${context.output.err.dim('·')} the key is in ${relative(context.world.cwd, paths.firstKey)}`,
      );
    }
  }
  return 0;
}
