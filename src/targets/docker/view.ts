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
    startPeriodSeconds: startPeriodSeconds(input),
    environment: variables.length > 0 && variables.map((name) => ({ name })),
    drainSeconds: deployment.server.drainSeconds,
    stopSeconds: stopSeconds(deployment),
    ...composeView(input, proxy),
  };
}

/**
 * Healthy is who was ready once and answers since: a new copy that never comes up takes nobody's place, and one whose
 * MCP servers fall ill later is not ended for it, with its sessions. The mark has in its name when this container began
 * (proc(5), starttime of process 1), so that one of an earlier start counts for nothing. Certificates name the outside,
 * so they are not compared. An error that nobody handles ends Node with 1, which is what the engine counts.
 */
function healthcheckScript({ deployment }: TargetInput): string {
  const plain = isPlainInside(deployment, 'docker');
  const options = plain ? '' : 'rejectUnauthorized:false,';
  return (
    `const f=require('node:fs'),m='/tmp/.ready-'+f.readFileSync('/proc/1/stat','utf8').split(') ').pop().split(' ')[19],` +
    `w=f.existsSync(m);require('node:${plain ? 'http' : 'https'}')` +
    `.get({host:'127.0.0.1',port:${containerPort(deployment)},path:w?'/livez':'/readyz',${options}agent:false,timeout:4000},` +
    `(r)=>{const ok=r.statusCode===200;if(ok&&!w)try{f.writeFileSync(m,'')}catch{}process.exitCode=ok?0:1;r.resume()})` +
    `.on('timeout',function(){this.destroy(new Error('timeout'))})`
  );
}

/** How long it may take until it is ready for the first time: what fails until then does not count. */
function startPeriodSeconds({ deployment }: TargetInput): number {
  const slowest = Math.max(0, ...Object.values(deployment.server.upstreams).map(({ startSeconds }) => startSeconds));
  return Math.ceil(slowest) + 10;
}
