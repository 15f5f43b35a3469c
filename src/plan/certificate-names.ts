import { isIP } from 'node:net';
import { canonicalName, isCertificateName, isDnsName } from '../deployment/host-name.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import { deploymentSchema, type Deployment } from '../deployment/schema.ts';
import type { CertificateFact, HostFacts } from './facts.ts';

/** This machine's own way to its server: always in a certificate of ours, so that the readiness check and doctor can use it. */
const loopbackNames = ['localhost', '127.0.0.1', '::1'];

/**
 * The names that a certificate gets when the deployment lists none: loopback,
 * the host's own name when it is a DNS name, the listen addresses and the host of publicUrl.
 */
function defaultCertificateNames(options: {
  readonly listen: Deployment['server']['listen'];
  readonly publicUrl?: string | undefined;
  readonly hostName: string;
}): readonly string[] {
  const { listen, publicUrl, hostName } = options;
  return distinct([
    ...loopbackNames,
    ...(isDnsName(hostName) ? [hostName] : []),
    ...listenAddresses({ listen }).flatMap((address) => (address.kind === 'tcp' ? [address.host] : [])),
    ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname.replace(/^\[|\]$/g, '')]),
  ]).filter(isCertificateName);
}

export interface WantedNames {
  readonly names: readonly string[];
  /** The host's name when it is left out because the CA of this deployment may not sign for it. */
  readonly leftOut: string | null;
}

/**
 * The names that the certificate should have now. Names that the user listed
 * are law. Of the default names the host's own is only a courtesy: when the
 * machine was renamed after its CA was made, it is left out, since a new CA
 * would break every client that trusts the old one, and the former name stays.
 */
export function wantedCertificateNames(
  deployment: Pick<Deployment, 'server' | 'tls'>,
  facts: Pick<HostFacts, 'hostName' | 'caCertificate' | 'serverCertificate' | 'release'>,
): WantedNames {
  const { server, tls } = deployment;
  const all = defaultCertificateNames({ ...server, hostName: facts.hostName });
  if (tls.source !== 'private-ca') return { names: all, leftOut: null };

  const needed = neededNames(server);
  if (tls.names !== undefined) return { names: distinct([...tls.names, ...needed]), leftOut: null };
  const { caCertificate: ca } = facts;
  const leftOut = all.find((name) => !needed.includes(name) && ca !== null && !maySignFor(ca, name)) ?? null;
  const names = [...all.filter((name) => name !== leftOut), ...formerHostNames(facts)];
  return { names: distinct(names), leftOut };
}

/** Names of the present certificate that only a former name of this machine explains. */
function formerHostNames({
  serverCertificate,
  release,
}: Pick<HostFacts, 'serverCertificate' | 'release'>): readonly string[] {
  const applied = deploymentSchema.safeParse(release?.desired);
  if (!applied.success || serverCertificate?.issuedByCa !== true) return [];
  const { server, tls } = applied.data;
  if (tls.source !== 'private-ca' || tls.names !== undefined) return [];
  const explained = neededNames(server);
  return distinct(serverCertificate.names)
    .filter((name) => !explained.includes(name))
    .toSorted();
}

/** What the certificate must have so that the server can be reached as the deployment says. */
function neededNames(server: Deployment['server']): readonly string[] {
  return defaultCertificateNames({ ...server, hostName: '' });
}

/** Whether the name constraints of a CA cover a name (RFC 5280, 4.2.1.10); a CA without any may sign for everything. */
export function maySignFor(ca: CertificateFact, name: string): boolean {
  if (ca.names.length === 0) return true;
  // Addresses are constrained only where some are named: see decision 2.
  if (isIP(name) !== 0 && !ca.names.some((permitted) => isIP(permitted) !== 0)) return true;
  const wanted = canonicalName(name).replace(/^\*\./, '');
  return ca.names.map(canonicalName).some((permitted) => wanted === permitted || wanted.endsWith(`.${permitted}`));
}

export function sameNames(one: readonly string[], other: readonly string[]): boolean {
  const names = new Set(distinct(one));
  const others = distinct(other);
  return names.size === others.length && others.every((name) => names.has(name));
}

/** Every name once, in its canonical spelling. */
export function distinct(names: readonly string[]): readonly string[] {
  return [...new Set(names.filter((name) => name !== '').map(canonicalName))];
}
