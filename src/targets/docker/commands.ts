import type { TargetCommands, TargetInput } from '../types.ts';
import { contextFolder } from './files.ts';
import { literalSecretsOf, variablesOf } from './upstream-environment.ts';

export function planDockerCommands(input: TargetInput): TargetCommands {
  const compose = ['docker', 'compose', '--file', `${contextFolder(input)}/compose.yaml`];
  const upstreams = Object.entries(input.deployment.server.upstreams);
  const elsewhere = upstreams.filter(([, upstream]) =>
    'url' in upstream ? upstream.caFile !== undefined : [upstream.cwd, upstream.command].some(isElsewhere),
  );
  const variables = variablesOf(input.deployment);
  return {
    check: [{ title: 'check the Compose file', argv: [...compose, 'config', '--quiet'] }],
    install: [{ title: 'build the image and start the container', argv: [...compose, 'up', '--detach', '--build'] }],
    restart: [{ title: 'restart the container', argv: [...compose, 'restart'] }],
    remove: [{ title: 'remove the container', argv: [...compose, 'down'] }],
    notices: [
      'The container reads keys and certificates with the rights of MCP_UID and MCP_GID (1000 when unset): ' +
        'set both to the owner of the files.',
      ...elsewhere.map(
        ([name]) => `server.upstreams.${name} names a path of this host, which the container does not have.`,
      ),
      ...Object.entries(input.deployment.server.tools)
        .filter(([, tool]) =>
          'module' in tool ? isElsewhere(tool.module.path) : 'command' in tool && isElsewhere(tool.command.cwd),
        )
        .map(([name]) => `server.tools.${name} names a path of this host, which the container does not have.`),
      ...literalSecretsOf(input.deployment).map(
        (setting) =>
          `${setting} is written out, so it would be in the image: write a reference such as \${NAME} in its place.`,
      ),
      ...(variables.length === 0 ? [] : [`Set in the environment of docker compose: ${variables.join(', ')}.`]),
      ...(input.deployment.server.statusListen === undefined
        ? []
        : ['server.statusListen is left out: a container has no address of this machine. Ask /status with a key.']),
      ...(input.deployment.container.watch
        ? [
            `Grafana starts with a password of yours: put one into ${contextFolder(input)}/grafana-password, then: docker compose --profile watch up.`,
          ]
        : []),
      ...(input.deployment.tls.source === 'off' && input.deployment.container.proxy === 'none'
        ? ['The container speaks plain HTTP: publish it to a proxy on this machine only.']
        : []),
    ],
  };
}

/** What lies beside mcp-deploy.yaml goes into the image; what is named from the root of the disk, or above, does not. */
function isElsewhere(path: string | undefined): boolean {
  return path !== undefined && (path.startsWith('/') || path.split('/').includes('..'));
}
