import type { DeploymentChange } from '../deployment/edit-deployment.ts';
import type { Deployment } from '../deployment/schema.ts';

/**
 * What is different in a copy of a deployment that is tried beside the live one: it has a port of its own on loopback and
 * reaches nothing that both would share: no ports, logs, Redis, proxy or service of the host. Its certificate is made for
 * the copy by the restored CA, or by one of its own where the real one is for public names. Pure.
 */
export function changesForCopy(
  { server, tls, auth }: Deployment,
  listen: string,
  keep: { readonly workers: boolean } = { workers: false },
): readonly DeploymentChange[] {
  const isOwnCa = tls.source === 'private-ca';
  return [
    { path: 'server.listen', value: listen },
    ...[
      'publicUrl',
      'metricsListen',
      'statusListen',
      'healthListen',
      'behindProxy',
      ...(keep.workers ? [] : ['workers']),
    ].map((setting): DeploymentChange => ({ path: ['server', setting], value: undefined })),
    ...(server.cache !== 'off' && server.cache.store === 'redis'
      ? [{ path: 'server.cache.store', value: undefined }]
      : []),
    ...(server.sessions.store === 'redis' ? [{ path: 'server.sessions.store', value: undefined }] : []),
    ...(isOwnCa ? [] : [{ path: 'tls', value: undefined }]),
    ...(auth.mtls === undefined ? [] : [{ path: 'auth.mtls', value: undefined }]),
    ...['proxy', 'service', 'redis', 'logs', 'backup'].map((section): DeploymentChange => ({
      path: [section],
      value: undefined,
    })),
  ];
}

/** What a copy is without, so that a drill proves nothing of it: one phrase each. Pure. */
export function leftOutOfCopy({ redis, proxy, service, tls }: Deployment): readonly string[] {
  const { manager } = service;
  return [
    ...(manager === 'docker' || manager === 'swarm' || manager === 'kubernetes'
      ? [`the containers (${manager}): the copy runs as a process of this machine`]
      : []),
    ...(manager === 'systemd' || manager === 'systemd-user' || manager === 'launchd'
      ? [`${manager}: the copy runs without it`]
      : []),
    ...(proxy.program === 'none' ? [] : ['the proxy in front: the copy is called itself']),
    ...(redis === 'off' ? [] : ['Redis: the copy shares nothing with replicas']),
    ...leftOutOfTls(tls),
  ];
}

function leftOutOfTls({ source }: Deployment['tls']): readonly string[] {
  const certificate = `the certificate (${source}): clients of the copy are shown one that was made for it`;
  if (source === 'private-ca') return [];
  if (source === 'off') return ['plain HTTP: the copy is called by TLS, with a certificate that was made for it'];
  if (source === 'files') return [certificate];
  return [certificate, 'ACME: nothing is ordered for the copy, so account, challenge and DNS are not tried'];
}
