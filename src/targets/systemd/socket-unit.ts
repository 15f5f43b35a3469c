import { isIP } from 'node:net';
import { listenAddresses, parseListenAddress, type ListenAddress } from '../../deployment/listen-address.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { quoteSystemdValue } from '../../render/quote/systemd.ts';
import { nameOnHost } from '../name-on-host.ts';

/** Name of the socket unit; null when the server opens its sockets itself. */
export function socketUnitName(deployment: Deployment): string | null {
  const { sockets } = deployment.service;
  const isWanted = sockets === 'on' || (sockets === 'auto' && needsLowPort(deployment));
  return isWanted && heldAddresses(deployment).length > 0 ? `${nameOnHost(deployment.name)}.socket` : null;
}

export function needsLowPort(deployment: Deployment): boolean {
  return allAddresses(deployment).some((address) => address.kind === 'tcp' && address.port < 1024);
}

/** Addresses that systemd can hold: not those by name, which the server looks up itself, nor a port of the system's choice. */
function heldAddresses(deployment: Deployment): readonly ListenAddress[] {
  return allAddresses(deployment).filter(
    (address) =>
      address.kind === 'unix' ||
      (address.port !== 0 && (address.host === '' || address.host === 'localhost' || isIP(address.host) !== 0)),
  );
}

/** Everything templates/systemd/socket.hbs lays out. */
export function socketView(deployment: Deployment, unit: string, socketUnit: string) {
  const addresses = heldAddresses(deployment);
  return {
    name: deployment.name,
    unit,
    installPath: `/etc/systemd/system/${socketUnit}`,
    description: quoteSystemdValue(`Sockets of the MCP endpoint ${deployment.name}`, 'name'),
    addresses: addresses.flatMap(streamsOf).map((address) => ({ address })),
    hasPorts: addresses.some(({ kind }) => kind === 'tcp'),
    hasPaths: addresses.some(({ kind }) => kind === 'unix'),
    user: quoteSystemdValue(deployment.service.user, 'service.user'),
  };
}

function allAddresses({ server }: Deployment): readonly ListenAddress[] {
  const pages = [server.metrics ? server.metricsListen : undefined, server.statusListen, server.healthListen];
  const named = pages.flatMap((text) => (text === undefined ? [] : [parseListenAddress(text)]));
  const seen = new Set<string>();
  return [...listenAddresses(server), ...named].filter((address) => {
    const key = JSON.stringify(address);
    const isNew = !seen.has(key);
    seen.add(key);
    return isNew;
  });
}

function streamsOf(address: ListenAddress): readonly string[] {
  if (address.kind === 'unix') return [quoteSystemdValue(address.path, 'server.listen')];
  const { host, port } = address;
  if (host === '') return [String(port)];
  if (host === 'localhost') return [`127.0.0.1:${port}`, `[::1]:${port}`];
  return [host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`];
}
