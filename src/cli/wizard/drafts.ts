import type { DeploymentDraft } from '../../deployment/write-deployment.ts';
import type { Answers } from './answers.ts';

/** A process of a folder, which ends TLS by itself. */
export function localDraft(answers: Answers): DeploymentDraft {
  return {
    server: { listen: answers.listen },
    tls: { source: 'private-ca', ...(answers.names === null ? {} : { names: answers.names }) },
    ...(answers.serverName === null ? {} : { proxy: { serverName: answers.serverName } }),
  };
}

/** A service of the host, reached by a proxy of the same host. */
export function hostDraft(answers: Answers, program: 'nginx' | 'caddy' | 'haproxy'): DeploymentDraft {
  const { serverName } = answers;
  return {
    server: {
      listen: answers.listen,
      ...(serverName === null ? {} : { publicUrl: `https://${serverName}/mcp` }),
      trustedProxies: ['127.0.0.1', '::1'],
    },
    tls: certificateDraft(answers, program),
    proxy: { program, ...(serverName === null ? {} : { serverName }) },
    service: { manager: 'systemd' },
  };
}

/** One container behind a proxy; without a public name it ends TLS by itself. */
export function composeDraft(answers: Answers): DeploymentDraft {
  const { serverName, image } = answers;
  const container = image === null ? {} : { image };
  if (serverName === null) return { ...localDraft(answers), container };
  const proxy = answers.certificate === 'letsencrypt' ? 'caddy' : 'nginx';
  return {
    server: { listen: answers.listen, publicUrl: `https://${serverName}/mcp` },
    tls: certificateDraft(answers, 'caddy'),
    proxy: { serverName },
    container: { ...container, proxy },
  };
}

/** Pods behind an Ingress, which ends TLS. */
export function kubernetesDraft(answers: Answers): DeploymentDraft {
  const { serverName, image } = answers;
  return {
    server: {
      listen: answers.listen,
      ...(serverName === null ? {} : { publicUrl: `https://${serverName}/mcp` }),
    },
    ...(serverName === null ? {} : { proxy: { serverName } }),
    container: { ...(image === null ? {} : { image }), kubernetes: { ingress: { class: 'nginx' } } },
  };
}

/** Where apply does all of it; the rendered files are there to be read. */
export function appliedNext(): readonly string[] {
  return ['mcp-deploy plan        shows every change', 'mcp-deploy apply'];
}

/** From the files to a running container. */
export function composeNext(_: Answers, folder: string): readonly string[] {
  return [
    'mcp-deploy apply && mcp-deploy stop        makes keys and certificate',
    `docker compose --file ${folder}/docker/compose.yaml up --detach --build`,
  ];
}

/** From the files to running pods. */
export function kubernetesNext({ name, image }: Answers, folder: string): readonly string[] {
  const built = image ?? `mcp-${name}:latest`;
  return [
    'mcp-deploy keys create default        a key; its hash goes into the Secret below',
    `docker build --tag ${built} ${folder}/docker && docker push ${built}`,
    `kubectl apply -f ${folder}/kubernetes/base/manifests/namespace.yaml`,
    'kubectl -n mcp create secret generic mcp-keys --from-file=keys.json=.mcp-deploy/keys/keys.json',
    `kubectl apply -f ${folder}/kubernetes/base/manifests`,
  ];
}

function certificateDraft(answers: Answers, program: 'nginx' | 'caddy' | 'haproxy'): DeploymentDraft['tls'] {
  const { serverName, certificate, certificateFile, keyFile, email } = answers;
  const name = serverName ?? 'localhost';
  switch (certificate) {
    case 'files':
      return { source: 'files', certificate: certificateFile ?? '', key: keyFile ?? '' };
    case 'letsencrypt':
      // Caddy asks by itself, and HAProxy takes what certbot keeps: the server behind needs a certificate of its own.
      if (program !== 'nginx') return { source: 'private-ca' };
      return {
        source: 'acme',
        names: [name],
        agreeTos: answers.agreeTos,
        ...(email === null ? {} : { email }),
        // nginx has port 80: it serves the proof, before its site is there and after.
        webroot: '/var/www/html',
      };
    case 'private-ca':
      return { source: 'private-ca', names: answers.names ?? [...new Set([name, 'localhost', '127.0.0.1', '::1'])] };
  }
}
