import { relative } from 'node:path';
import { clientSnippet } from '../../clients/index.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import type { Outcome } from '../apply-desired.ts';
import { isInCluster } from '../cluster-options.ts';
import { quoteCommand } from '../quote-command.ts';
import type { CommandContext } from '../context.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import { readServerState } from '../server-state.ts';

/**
 * The end of `up` and `apply`: where the endpoint is, where key and CA are, a
 * client snippet and the next commands; or one JSON document.
 */
export async function describeEndpoint(
  context: CommandContext,
  parts: { deployment: Deployment; outcome: Outcome; tookMs: number },
): Promise<void> {
  const { deployment, outcome } = parts;
  const { output, ports, stateDir } = context;
  const paths = deploymentPaths(stateDir);
  const url = endpointUrl(deployment);
  const changed = outcome.plan.steps.length > 0;
  const keyFile = deployment.auth.required && (await ports.files.stat(paths.firstKey)) !== null ? paths.firstKey : null;
  const caFile = deployment.tls.source === 'private-ca' && !isInCluster(deployment) ? paths.caCertificate : null;
  const state = await readServerState(context, deployment);

  output.document({
    ok: true,
    changed,
    url,
    keyFile,
    caFile,
    deploymentFile: context.deploymentFile,
    release: outcome.plan.release,
    pid: state.state === 'running' ? state.pid : null,
    ...('container' in state ? { container: state.container } : {}),
    verified: outcome.result.outcome === 'applied' ? (outcome.result.verified ?? null) : null,
    steps: outcome.plan.steps.map((step) => ({ id: step.id, title: step.title, why: step.why })),
    notices: outcome.plan.notices,
    durationMs: Math.round(parts.tookMs),
  });

  const show = (path: string): string => shownFrom(context.world.cwd, path);
  const bold = output.out.bold;
  const lines = [
    ...(changed
      ? ['']
      : [
          `  Nothing to do: everything is as mcp-deploy.yaml says${context.stageDir === null ? ', and the server is running' : ''}.`,
          '',
        ]),
    `  Endpoint   ${bold(url)}`,
    ...(keyFile === null ? [] : [`  Key        ${show(keyFile)}`]),
    ...(caFile === null ? [] : [`  CA         ${show(caFile)}`]),
  ];
  if (context.stageDir !== null) {
    const pack = quoteCommand(['tar', '-C', context.stageDir, '-cf', `${deployment.name}.tar`, '.']);
    lines.push('', `  Next   ${pack}        it is the root of a system`);
  } else if (changed) {
    const snippet = clientSnippet('claude-code', {
      name: deployment.name,
      url,
      keyFile: keyFile === null ? null : show(keyFile),
      caFile: caFile === null ? null : show(caFile),
      keyVariable: 'MCP_KEY',
    });
    lines.push(
      '',
      `  ${snippet.title}`,
      ...snippet.text
        .trimEnd()
        .split('\n')
        .map((line) => `    ${line}`),
    );
  }
  lines.push(
    '',
    `  Next   mcp-deploy client add claude-code     connect a client`,
    `         mcp-deploy doctor                     check everything`,
    `         mcp-deploy init                       a real name, nginx, systemd`,
  );
  output.result(lines.join('\n'));
}

/** Relative where it lies below, as it is typed; a path of the host stays as it is. */
function shownFrom(folder: string, path: string): string {
  const way = relative(folder, path);
  return way.startsWith('../../..') || (way.startsWith('..') && !path.includes('/.mcp-deploy/')) ? path : way || '.';
}
