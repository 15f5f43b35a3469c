import { hostname, networkInterfaces } from 'node:os';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';
import { planPageListeners } from './http/page-listeners.ts';

/**
 * Names under which clients may reach the server: those of the deployment, of the certificate and of this machine.
 * A page that brings a name of its own along (DNS rebinding) is none of them. Reads the names of the machine.
 */
export function readAcceptedHosts({ server, proxy }: Deployment, certificateNames: readonly string[]): string[] {
  const listening = [...listenAddresses(server), ...planPageListeners(server).map(({ address }) => address)];
  const own = listening.map((address) => (address.kind === 'tcp' ? address.host : ''));
  const machine = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  return [
    'localhost',
    '127.0.0.1',
    '::1',
    hostname(),
    ...own,
    // Without the interface of a link-local address.
    ...machine.map((address) => address.replace(/%.*$/, '')),
    ...certificateNames,
    ...(server.publicUrl === undefined ? [] : [new URL(server.publicUrl).hostname]),
    ...(proxy.serverName === undefined ? [] : [proxy.serverName]),
    ...server.allowedHosts,
  ].filter((name) => name !== '');
}
