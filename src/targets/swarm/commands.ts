import { literalSecretsOf, variablesOf } from '../docker/upstream-environment.ts';
import { imageName } from '../docker/image-name.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { TargetCommands, TargetInput } from '../types.ts';
import { swarmFolder } from './files.ts';

export function planSwarmCommands(input: TargetInput): TargetCommands {
  const { deployment } = input;
  const stack = nameOnHost(deployment.name);
  const file = `${swarmFolder(input)}/stack.yaml`;
  const variables = variablesOf(deployment);
  return {
    check: [{ title: 'check the stack file', argv: ['docker', 'stack', 'config', '--compose-file', file] }],
    install: [
      { title: 'start or update the stack', argv: ['docker', 'stack', 'deploy', '--compose-file', file, stack] },
    ],
    restart: [
      {
        title: 'replace the copies one after another',
        argv: ['docker', 'service', 'update', '--force', `${stack}_server`],
      },
    ],
    remove: [{ title: 'remove the stack', argv: ['docker', 'stack', 'rm', stack] }],
    notices: [
      ...(deployment.container.image === undefined
        ? [
            `The image is called ${imageName(deployment)}, which other machines of the swarm do not have: set container.image, build it with render docker, and push it.`,
          ]
        : []),
      'After a key was made, rotated or revoked, or a certificate renewed: deploy again with MCP_SECRETS raised by one.',
      ...(variables.length === 0 ? [] : [`Set in the environment of docker stack deploy: ${variables.join(', ')}.`]),
      ...literalSecretsOf(deployment).map(
        (setting) =>
          `${setting} is written out, so it would be in a config of the swarm: write a reference such as \${NAME} in its place.`,
      ),
      ...(deployment.redis === 'off' && !deployment.container.redis && deployment.container.replicas > 1
        ? ['Without redis every copy counts limits for itself.']
        : []),
      ...(deployment.logs.audit === 'off'
        ? []
        : ['The audit file of each copy is in a volume without a name, which goes with the copy: ship its lines.']),
    ],
  };
}
