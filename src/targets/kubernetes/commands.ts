import type { TargetCommands, TargetInput } from '../types.ts';
import { literalSecretsOf, variablesOf } from '../docker/upstream-environment.ts';
import { imageName } from '../docker/image-name.ts';
import { kubernetesFolder } from './files.ts';
import { objectNames } from './view.ts';

export function planKubernetesCommands(input: TargetInput): TargetCommands {
  const { deployment, paths } = input;
  const manifests = `${kubernetesFolder(input)}/base/manifests`;
  const { namespace, gateway, autoscale } = deployment.container.kubernetes;
  const names = objectNames(deployment);
  const variables = variablesOf(deployment);
  const here = ['kubectl', '--namespace', namespace];
  return {
    check: [
      {
        title: 'ask the cluster whether it takes the manifests',
        argv: ['kubectl', 'apply', '--dry-run=server', '--filename', manifests],
      },
    ],
    install: [
      { title: 'make the namespace', argv: ['kubectl', 'apply', '--filename', `${manifests}/namespace.yaml`] },
      {
        title: 'hand the keys over as a Secret',
        argv: [...here, 'create', 'secret', 'generic', names.keys, `--from-file=keys.json=${paths.keyStoreFile}`],
      },
      { title: 'apply the manifests', argv: ['kubectl', 'apply', '--filename', manifests] },
      {
        title: 'wait until all copies are ready',
        argv: [...here, 'rollout', 'status', `deployment/${names.app}`, '--timeout=5m'],
      },
    ],
    restart: [
      {
        title: 'start new copies, one after another',
        argv: [...here, 'rollout', 'restart', `deployment/${names.app}`],
      },
    ],
    remove: [{ title: 'remove what the manifests made', argv: ['kubectl', 'delete', '--filename', manifests] }],
    notices: [
      ...(deployment.container.image === undefined
        ? [
            `The image is called ${imageName(deployment)}, which no registry has: set container.image, build it with render docker, and push it.`,
          ]
        : []),
      ...(variables.length === 0
        ? []
        : [
            `The Secret ${names.env} has to hold: ${variables.join(', ')} (kubectl create secret generic ${names.env} --from-env-file=FILE).`,
          ]),
      ...literalSecretsOf(deployment).map(
        (setting) =>
          `${setting} is written out, so it would be in the ConfigMap: write a reference such as \${NAME} in its place.`,
      ),
      ...(autoscale !== 'off' || deployment.container.replicas > 1
        ? [
            'Several copies: clients of the stateless era may reach any of them. Legacy sessions live in one copy; the Service ' +
              'keeps an address, and an Ingress of the class nginx a key, on the same one.',
          ]
        : []),
      ...((autoscale !== 'off' || deployment.container.replicas > 1) && gateway !== 'off'
        ? [
            'The Gateway API keeps no cookie-less client on one copy: legacy sessions need the policy of your Gateway for that.',
          ]
        : []),
      ...((autoscale !== 'off' || deployment.container.replicas > 1) && deployment.redis === 'off'
        ? ['Without redis every copy counts limits for itself.']
        : []),
    ],
  };
}
