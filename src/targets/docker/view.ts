import { resolve } from 'node:path';
import { quoteDockerfileExec } from '../../render/quote/dockerfile.ts';
import { quoteCompose } from '../../render/quote/yaml.ts';
import { nameOnHost } from '../name-on-host.ts';
import { stopSeconds } from '../service-command.ts';
import type { TargetInput } from '../types.ts';
import { variablesOf } from './upstream-environment.ts';
import { containerFiles, containerPort, isPlainInside } from './container-deployment.ts';
import { imageName } from './image-name.ts';
import { publishedPorts } from './published-ports.ts';

/** Everything the templates of docker/ lay out. Texts are quoted for the file they stand in. */
export function dockerView(input: TargetInput) {
  const { deployment } = input;
  const variables = variablesOf(deployment);
  return {
    name: deployment.name,
    project: nameOnHost(deployment.name),
    image: quoteCompose(imageName(deployment), 'container.image'),
    port: containerPort(deployment),
    entrypoint: quoteDockerfileExec(['node', '/app/serve.js'], 'the server command'),
    command: quoteDockerfileExec(['--config', containerFiles.config], 'the server command'),
    healthcheck: quoteDockerfileExec(['node', '-e', healthcheckScript(input)], 'the health check'),
    ports: publishedPorts(deployment).map((mapping) => ({ mapping: quoteCompose(mapping, 'server.listen') })),
    secrets: secrets(input).map((secret) => ({ ...secret, file: quoteCompose(secret.file, secret.place) })),
    environment: variables.length > 0 && variables.map((name) => ({ name })),
    drainSeconds: deployment.server.drainSeconds,
    stopSeconds: stopSeconds(deployment),
  };
}

interface MountedSecret {
  readonly name: string;
  /** On the host. */
  readonly file: string;
  /** In the container. */
  readonly target: string;
  readonly place: string;
}

function secrets({ deployment, paths }: TargetInput): readonly MountedSecret[] {
  const keys = { name: 'mcp_keys', file: paths.keyStoreFile, target: containerFiles.keyStore, place: 'the key store' };
  const { tls } = deployment;
  switch (tls.source) {
    case 'off':
      return [keys];
    case 'acme':
    case 'private-ca':
      return [keys, ...tlsSecrets(paths.certificateFile, paths.keyFile)];
    case 'files':
      return [keys, ...tlsSecrets(resolve(paths.baseDir, tls.certificate), resolve(paths.baseDir, tls.key))];
  }
}

function tlsSecrets(certificate: string, key: string): readonly MountedSecret[] {
  return [
    { name: 'mcp_tls_certificate', file: certificate, target: containerFiles.certificate, place: 'tls.certificate' },
    { name: 'mcp_tls_key', file: key, target: containerFiles.key, place: 'tls.key' },
  ];
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
