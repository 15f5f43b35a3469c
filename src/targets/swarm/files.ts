import { createHash } from 'node:crypto';
import { compileTemplate } from '../../render/compile-template.ts';
import { quoteCompose } from '../../render/quote/yaml.ts';
import { containerConfigText } from '../docker/container-config.ts';
import { containerFiles } from '../docker/container-deployment.ts';
import { renderFrontProxy } from '../docker/front-proxy.ts';
import { imageName } from '../docker/image-name.ts';
import { mountedSecrets, proxySecrets } from '../docker/mounted-secrets.ts';
import { variablesOf } from '../docker/upstream-environment.ts';
import { identifierOnHost, nameOnHost } from '../name-on-host.ts';
import { stopSeconds } from '../service-command.ts';
import type { RenderedFile, TargetInput } from '../types.ts';

/**
 * A stack: the server in copies, HAProxy in front. The image is that of the docker target.
 * Throws a UserError where no certificate is known, and for a deployment without keys.
 */
export function renderSwarmFiles(input: TargetInput): readonly RenderedFile[] {
  const { applied, deployment } = input;
  const { container } = deployment;
  // "tasks." is the name that has an address for each copy.
  const proxy = renderFrontProxy(input, 'haproxy', 'tasks.server');
  const stack = identifierOnHost(deployment.name);
  const configs = [
    {
      name: 'config',
      file: 'mcp-deploy.yaml',
      content: containerConfigText(deployment, 'swarm'),
      target: containerFiles.config,
    },
    ...proxy.files.map(({ name, content, target }) => ({
      name: name.replace('.cfg', ''),
      file: `haproxy/${name}`,
      content,
      target,
    })),
  ];
  const secrets = mountedSecrets(input, 'swarm');
  const forProxy = proxySecrets(input);
  const view = {
    name: deployment.name,
    project: nameOnHost(deployment.name),
    image: quoteCompose(applied?.image ?? imageName(deployment), 'container.image'),
    redis: container.redis,
    configPath: containerFiles.config,
    secrets,
    environment: environmentOf(input),
    stateFolder: deployment.logs.audit !== 'off' && containerFiles.state,
    drainSeconds: deployment.server.drainSeconds,
    stopSeconds: stopSeconds(deployment),
    replicas: container.replicas,
    // Long enough that a copy which cannot live shows it. What apply deploys it looks at itself.
    monitorSeconds: applied === undefined ? 20 : 5,
    applied: applied !== undefined,
    folder: quoteCompose(swarmFolder(input), 'the folder'),
    cpuLimit: quoteCompose(String(container.cpus.limit), 'container.cpus'),
    cpuReserved: quoteCompose(String(Math.min(container.cpus.reserved, container.cpus.limit)), 'container.cpus'),
    memoryLimit: container.memoryMegabytes.limit,
    memoryReserved: Math.min(container.memoryMegabytes.reserved, container.memoryMegabytes.limit),
    proxyImage: quoteCompose(proxy.image, 'the image of the proxy'),
    proxyEntrypoint: `[${proxy.entrypoint.map((word) => quoteCompose(word, 'the proxy command')).join(', ')}]`,
    proxyPorts: [proxy.site.httpsPort, proxy.site.httpPort].map((port) => ({ port })),
    proxyFiles: configs.slice(1).map(({ name, target }) => ({ name, target })),
    proxySecrets: forProxy,
    configs: configs.map(({ name, file, content }) => ({
      name,
      fullName: quoteCompose(`${stack}_${name}_${hashOf(content)}`, 'name'),
      file: quoteCompose(`./${file}`, 'name'),
    })),
    allSecrets: [...secrets, ...forProxy].map(({ name, file, place }) => ({
      name,
      fullName:
        applied === undefined
          ? `"${stack}_${name}_\${MCP_SECRETS:-1}"`
          : `"${stack}_${name}_${applied.secretNumbers?.[name] ?? applied.secretsNumber}"`,
      file: quoteCompose(applied === undefined ? file : `${applied.secretsFolder}/${name}`, place),
    })),
  };
  const layOut = compileTemplate(input.templates('swarm/stack.yaml.hbs'));
  return [
    swarmFile(input, 'stack.yaml', layOut(view)),
    ...configs.map(({ file, content }) => swarmFile(input, file, content)),
  ];
}

/** Folder of the stack on the host. */
export function swarmFolder({ paths }: TargetInput): string {
  return `${paths.stateDir}/swarm`;
}

/** `docker stack deploy` takes no bare names: what is not set is empty there. */
function environmentOf({ deployment }: TargetInput): readonly { name: string; value: string }[] | false {
  const names = variablesOf(deployment);
  return names.length > 0 && names.map((name) => ({ name, value: `"\${${name}}"` }));
}

function hashOf(content: string): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 12);
}

function swarmFile(input: TargetInput, name: string, content: string): RenderedFile {
  return { path: `swarm/${name}`, installPath: `${swarmFolder(input)}/${name}`, mode: 0o644, content };
}
