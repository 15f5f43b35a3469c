import { quoteDockerfileExec } from '../../render/quote/dockerfile.ts';
import { quoteCompose, quoteYaml } from '../../render/quote/yaml.ts';
import { nameOnHost } from '../name-on-host.ts';
import { stopSeconds } from '../service-command.ts';
import type { TargetInput } from '../types.ts';
import { composeView } from './compose-view.ts';
import { containerFiles, containerPort, isPlainInside, pagePorts } from './container-deployment.ts';
import type { FrontProxy } from './front-proxy.ts';
import { imageName } from './image-name.ts';
import { variablesOf } from './upstream-environment.ts';

/** Everything the templates of docker/ lay out. Texts are quoted for the file they stand in. */
export function dockerView(input: TargetInput, proxy: FrontProxy | null) {
  const { deployment } = input;
  const { container } = deployment;
  const variables = variablesOf(deployment);
  return {
    name: deployment.name,
    project: quoteYaml(nameOnHost(deployment.name), 'name'),
    baseImage: container.baseImage,
    packages: container.packages.length > 0 && container.packages.map((name) => ({ package: JSON.stringify(name) })),
    title: JSON.stringify(nameOnHost(deployment.name)),
    description: JSON.stringify(`MCP endpoint ${deployment.name}, served by mcp-deploy`),
    deployment: quoteYaml(deployment.name, 'name'),
    metricsPort: pagePorts.metrics,
    dashboardFolder: quoteCompose(`/var/lib/grafana/dashboards/${nameOnHost(deployment.name)}`, 'name'),
    image: quoteCompose(input.applied?.image ?? imageName(deployment), 'container.image'),
    imageUid: String(input.applied?.user.uid ?? 1_000),
    imageGid: String(input.applied?.user.gid ?? 1_000),
    port: containerPort(deployment),
    entrypoint: quoteDockerfileExec(['node', '/app/serve.js'], 'the server command'),
    command: quoteDockerfileExec(['--config', containerFiles.config], 'the server command'),
    healthcheck: quoteDockerfileExec(['node', '-e', healthcheckScript(input)], 'the health check'),
    environment: variables.length > 0 && variables.map((name) => ({ name })),
    drainSeconds: deployment.server.drainSeconds,
    stopSeconds: stopSeconds(deployment),
    ...composeView(input, proxy),
  };
}

/**
 * Certificates name the outside, so the check inside does not compare them: it
 * asks whether this server answers. An error that nobody handles ends Node
 * with 1, which is what the engine counts.
 */
function healthcheckScript({ deployment }: TargetInput): string {
  const plain = isPlainInside(deployment, 'docker');
  const options = plain ? '' : 'rejectUnauthorized:false,';
  return (
    `require('node:${plain ? 'http' : 'https'}')` +
    `.get({host:'127.0.0.1',port:${containerPort(deployment)},path:'/health',${options}agent:false,timeout:4000},` +
    `(r)=>{process.exitCode=r.statusCode===200?0:1;r.resume()})` +
    `.on('timeout',function(){this.destroy(new Error('timeout'))})`
  );
}
