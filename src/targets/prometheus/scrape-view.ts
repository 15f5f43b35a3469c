import { listenAddresses, parseListenAddress, type ListenAddress } from '../../deployment/listen-address.ts';
import { UserError } from '../../deployment/errors.ts';
import { quoteYaml } from '../../render/quote/yaml.ts';
import { nameOnHost } from '../name-on-host.ts';
import type { TargetInput } from '../types.ts';

/**
 * Everything templates/prometheus/scrape.yml.hbs lays out: Prometheus on the same machine, which needs no key.
 * Throws a UserError when there is nothing to scrape.
 */
export function scrapeView({ deployment, paths }: TargetInput) {
  const { server, tls } = deployment;
  if (!server.metrics) {
    throw new UserError('There are no metrics to scrape', {
      why: 'server.metrics is false.',
      next: 'Set server.metrics: true.',
    });
  }
  const own = server.metricsListen === undefined ? null : parseListenAddress(server.metricsListen);
  const address = own ?? listenAddresses(server).find(({ kind }) => kind === 'tcp');
  if (address === undefined || address.kind !== 'tcp') {
    throw new UserError('Prometheus cannot reach the server', {
      why: 'It listens on Unix sockets alone, and Prometheus knows none.',
      next: 'Set server.metricsListen: 127.0.0.1:9464.',
    });
  }
  // Metrics on an address of their own are plain HTTP.
  const isSecure = own === null && tls.source !== 'off';
  const isPrivate = isSecure && tls.source === 'private-ca';
  const name = 'names' in tls ? tls.names?.[0] : undefined;
  return {
    name: deployment.name,
    job: quoteYaml(nameOnHost(deployment.name), 'name'),
    scheme: isSecure ? 'https' : 'http',
    caFile: isPrivate ? quoteYaml(paths.caFile, 'the CA of the deployment') : '',
    serverName: isPrivate && name !== undefined ? quoteYaml(name, 'tls.names') : '',
    targets: [{ target: quoteYaml(targetOf(address), 'server.listen') }],
  };
}

function targetOf({ host, port }: Extract<ListenAddress, { kind: 'tcp' }>): string {
  // The name, not the address: the certificate is for it.
  const shown = host === '' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `${shown}:${port}`;
}
