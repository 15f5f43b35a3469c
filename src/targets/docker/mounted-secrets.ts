import { resolve } from 'node:path';
import { describeProxySite } from '../proxy-site.ts';
import type { TargetInput } from '../types.ts';
import { containerFiles, isPlainInside, type ContainerPlace } from './container-deployment.ts';
import { proxyPair } from './front-proxy.ts';

/** A file of the host that a container gets, and nobody else. */
export interface MountedSecret {
  readonly name: string;
  /** On the host. */
  readonly file: string;
  /** In the container. */
  readonly target: string;
  /** Setting or thing that it is, for refusals. */
  readonly place: string;
}

/** What the server reads: hashes of the keys, its certificate where TLS ends in it, the key of its audit chain. */
export function mountedSecrets(input: TargetInput, where: ContainerPlace): readonly MountedSecret[] {
  const { deployment, paths } = input;
  const { auditKeyFile, audit } = deployment.logs;
  return [
    { name: 'mcp_keys', file: paths.keyStoreFile, target: containerFiles.keyStore, place: 'the key store' },
    ...(isPlainInside(deployment, where) ? [] : serverPair(input)),
    ...(auditKeyFile === undefined || audit === 'off'
      ? []
      : [
          {
            name: 'mcp_audit_key',
            file: resolve(paths.baseDir, auditKeyFile),
            target: containerFiles.auditKey,
            place: 'logs.auditKeyFile',
          },
        ]),
  ];
}

/** The pair that the proxy in front ends TLS with. */
export function proxySecrets(input: TargetInput): readonly MountedSecret[] {
  const { certificate } = describeProxySite(input);
  if (certificate.kind !== 'files') return [];
  const { place } = certificate;
  return [
    {
      name: 'mcp_tls_certificate',
      file: certificate.certificate,
      target: proxyPair.certificate,
      place: `${place}.certificate`,
    },
    { name: 'mcp_tls_key', file: certificate.key, target: proxyPair.key, place: `${place}.key` },
  ];
}

function serverPair({ deployment, paths }: TargetInput): readonly MountedSecret[] {
  const { tls } = deployment;
  const [certificate, key] =
    tls.source === 'files'
      ? [resolve(paths.baseDir, tls.certificate), resolve(paths.baseDir, tls.key)]
      : [paths.certificateFile, paths.keyFile];
  return [
    { name: 'mcp_tls_certificate', file: certificate, target: containerFiles.certificate, place: 'tls.certificate' },
    { name: 'mcp_tls_key', file: key, target: containerFiles.key, place: 'tls.key' },
  ];
}
