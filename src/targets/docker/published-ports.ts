import { isIP } from 'node:net';
import { listenAddresses, parseListenAddress, type ListenAddress } from '../../deployment/listen-address.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { containerPort, pagePorts } from './container-deployment.ts';

/** Published ports as Compose writes them: open to whom the deployment's own listen addresses are open. */
export function publishedPorts(deployment: Deployment): readonly string[] {
  return [...new Set([...endpointPorts(deployment), ...pages(deployment)])];
}

/** Nothing with a proxy beside it: who reached the server past the proxy would meet none of its limits. */
function endpointPorts(deployment: Deployment): readonly string[] {
  if (deployment.container.proxy !== 'none') return [];
  const inside = containerPort(deployment);
  const mappings = listenAddresses(deployment.server).flatMap((address) => published(address, inside));
  return mappings.length > 0 ? mappings : [`127.0.0.1:${inside}:${inside}`];
}

function pages({ server }: Deployment): readonly string[] {
  return [
    ...(server.metricsListen === undefined || !server.metrics
      ? []
      : published(parseListenAddress(server.metricsListen), pagePorts.metrics)),
    ...(server.healthListen === undefined ? [] : published(parseListenAddress(server.healthListen), pagePorts.health)),
  ];
}

function published(address: ListenAddress, inside: number): readonly string[] {
  if (address.kind === 'unix') return [];
  if (address.host === '') return [`${address.port}:${inside}`];
  if (isIP(address.host) === 6) return [`[${address.host}]:${address.port}:${inside}`];
  // Names are not allowed there; a name in server.listen is this machine's own.
  return [`${isIP(address.host) === 4 ? address.host : '127.0.0.1'}:${address.port}:${inside}`];
}
