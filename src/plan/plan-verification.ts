import type { Deployment } from '../deployment/schema.ts';
import { containerPort } from '../targets/docker/container-deployment.ts';
import type { Action } from './action.ts';
import { deploymentPaths } from './deployment-paths.ts';
import { containerFront, endpointUrl } from './endpoint-url.ts';
import type { HostFacts } from './facts.ts';
import { firstKeyLabel } from './plan-first-key.ts';
import type { Notice, Step } from './types.ts';

/** Has real clients call the endpoint, where this machine can. */
export function verifySteps(deployment: Deployment, facts: HostFacts, keyChanges: boolean): readonly Step[] {
  if (whyUnverified(deployment, facts, keyChanges) !== null) return [];
  const { caCertificate, firstKey } = deploymentPaths(facts.stateDir);
  return [
    {
      id: 'verify-endpoint',
      title: 'call the endpoint as a client would',
      why: 'proof that it serves',
      group: 'verified',
      action: {
        type: 'verify-endpoint',
        ...wayIn(deployment, facts, caCertificate),
        ...(deployment.auth.required ? { keyFile: firstKey } : {}),
        // What stands in front of containers learns of them by looking, every few seconds.
        ...(['docker', 'swarm', 'kubernetes'].includes(deployment.service.manager) ? { patienceMs: 15_000 } : {}),
      },
      undo: { type: 'none' },
    },
  ];
}

/** Says why nobody calls it, where this machine cannot. */
export function unverifiedNotices(deployment: Deployment, facts: HostFacts, keyChanges: boolean): readonly Notice[] {
  const why = whyUnverified(deployment, facts, keyChanges);
  return why === null ? [] : [{ level: 'info', text: `The endpoint is not called as a client would: ${why}` }];
}

/** Why a client on this machine cannot try the endpoint, or null when it can. */
function whyUnverified(deployment: Deployment, facts: HostFacts, keyChanges: boolean): string | null {
  const { tls, auth, server } = deployment;
  const front = containerFront(deployment);
  if (facts.cluster !== undefined) {
    if (facts.cluster.denied.includes('create pods/portforward')) return 'you may not forward a port to its pods.';
  } else if (front !== null && !front.isLocal) {
    return `its name is for others. Try it with: mcp-deploy doctor ${front.url}`;
  }
  if (front === null && [server.listen].flat().every((address) => address.startsWith('unix:'))) {
    return 'it listens on Unix sockets only.';
  }
  if (facts.cluster === undefined && (tls.source === 'files' || tls.source === 'acme')) {
    const names = tls.source === 'acme' ? tls.names : (facts.serverCertificate?.names ?? []);
    const url = server.publicUrl ?? urlInCertificate(deployment, names);
    return `its certificate is ${tls.source === 'acme' ? 'for public names' : 'yours, perhaps for another name or from a CA unknown here'}. Try it with: mcp-deploy doctor ${url}`;
  }
  const { firstKey } = deploymentPaths(facts.stateDir);
  const keyIsHere = facts.files[firstKey] !== undefined && facts.activeKeyLabels.includes(firstKeyLabel);
  if (!auth.required || keyChanges || keyIsHere) return null;
  return 'no key lies here in the clear. Try it with: mcp-deploy doctor --key-file FILE';
}

/** Where a client of this machine calls: the endpoint, or a port of the cluster that is forwarded here. */
function wayIn(
  deployment: Deployment,
  { cluster }: HostFacts,
  caFile: string,
): Pick<Extract<Action, { type: 'verify-endpoint' }>, 'url' | 'caFile' | 'forward'> {
  if (cluster !== undefined) {
    const port = containerPort(deployment, 'kubernetes');
    return { url: `http://127.0.0.1${deployment.server.path}`, forward: { cluster: cluster.cluster, port } };
  }
  return { url: endpointUrl(deployment), ...(deployment.tls.source === 'private-ca' ? { caFile } : {}) };
}

/** The local URL under a name that the certificate has. */
function urlInCertificate(deployment: Deployment, names: readonly string[]): string {
  const local = endpointUrl(deployment);
  const { hostname } = new URL(local);
  if (names.includes(hostname.replace(/^\[|\]$/g, ''))) return local;
  const name = names.find((each) => !each.startsWith('*.')) ?? 'NAME';
  return local.replace(`//${hostname}`, `//${name.includes(':') ? `[${name}]` : name}`);
}
