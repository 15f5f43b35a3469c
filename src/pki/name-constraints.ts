import { bytesOf, childrenOf, der, isTagged, type DerNode } from './der.ts';
import { extension } from './extensions.ts';
import { parseIpAddress } from './ip-address.ts';
import type { CertificateName } from './names.ts';
import { oids } from './oids.ts';

/** What a CA may sign for: DNS subtrees as text, address ranges as octets followed by as many of mask. */
export interface NameConstraints {
  readonly permittedDns: readonly string[];
  readonly excludedDns: readonly string[];
  readonly permittedIp: readonly Buffer[];
  readonly excludedIp: readonly Buffer[];
}

/**
 * nameConstraints, critical (RFC 5280, 4.2.1.10), that permits the names and nothing else. A kind of name that is not
 * listed at all would be unconstrained, so the kinds that are not asked for are excluded as a whole.
 *
 * Without `addresses` nothing is said about those, and the CA can sign for any. BoringSSL, which Bun and Electron bring and
 * with them most MCP clients, refuses every certificate with an address under a CA that constrains addresses
 * ("unsupported name constraint type", v3_ncons.cc).
 */
export function nameConstraints(names: readonly CertificateName[], addressesToo = true): DerNode {
  const domains = names.filter((name) => name.kind === 'dns').map((name) => subtreeDomain(name.value));
  const addresses = names.flatMap((name) =>
    name.kind === 'ip' && addressesToo ? [parseIpAddress(name.value) ?? Buffer.alloc(0)] : [],
  );
  const permitted = [
    ...withoutCovered(domains).map((domain) => der.tagged(2, Buffer.from(domain, 'ascii'))),
    ...addresses.map((octets) => der.tagged(7, Buffer.concat([octets, Buffer.alloc(octets.length, 0xff)]))),
  ];
  const excluded = [
    ...(domains.length === 0 ? [der.tagged(2, Buffer.alloc(0))] : []),
    ...(addressesToo ? [4, 16] : [])
      .filter((length) => !addresses.some((octets) => octets.length === length))
      .map((length) => der.tagged(7, Buffer.alloc(length * 2))),
  ];
  const subtrees = (list: readonly DerNode[]): DerNode[] => list.map((base) => der.sequence(base));
  return extension(
    oids.nameConstraints,
    true,
    der.sequence(
      ...(permitted.length > 0 ? [der.wrapped(0, ...subtrees(permitted))] : []),
      ...(excluded.length > 0 ? [der.wrapped(1, ...subtrees(excluded))] : []),
    ),
  );
}

/** The constraints in the value of a nameConstraints extension. */
export function parseNameConstraints(value: DerNode): NameConstraints {
  const parts = childrenOf(value);
  const bases = (tag: number): readonly DerNode[] =>
    parts
      .filter((part) => isTagged(part, tag))
      .flatMap((part) => childrenOf(part).flatMap((subtree) => childrenOf(subtree).slice(0, 1)));
  const dns = (tag: number): string[] =>
    bases(tag)
      .filter((base) => isTagged(base, 2))
      .map((base) => bytesOf(base).toString('latin1').toLowerCase());
  const ip = (tag: number): Buffer[] =>
    bases(tag)
      .filter((base) => isTagged(base, 7))
      .map(bytesOf);
  return { permittedDns: dns(0), excludedDns: dns(1), permittedIp: ip(0), excludedIp: ip(1) };
}

/** Whether a CA with these constraints may sign for the name. */
export function isPermitted(constraints: NameConstraints, name: CertificateName): boolean {
  if (name.kind === 'dns') {
    const covers = (domain: string): boolean => isUnder(subtreeDomain(name.value), domain, name.value.startsWith('*.'));
    if (constraints.excludedDns.some(covers)) return false;
    return constraints.permittedDns.length === 0 || constraints.permittedDns.some(covers);
  }
  const octets = parseIpAddress(name.value) ?? Buffer.alloc(0);
  const covers = (range: Buffer): boolean =>
    range.length === octets.length * 2 &&
    octets.every((octet, index) => ((octet ^ (range[index] ?? 0)) & (range[octets.length + index] ?? 0)) === 0);
  if (constraints.excludedIp.some(covers)) return false;
  return constraints.permittedIp.length === 0 || constraints.permittedIp.some(covers);
}

/** `*.example.com` is covered by the subtree `example.com`: subtrees have no wildcards. */
function subtreeDomain(dnsName: string): string {
  return dnsName.startsWith('*.') ? dnsName.slice(2) : dnsName;
}

/** A constraint of `.example.com` (outside of RFC 5280, but seen) means names below it only. */
function isUnder(name: string, domain: string, isWildcard: boolean): boolean {
  if (domain === '') return true;
  if (domain.startsWith('.')) return name.endsWith(domain) || (isWildcard && `.${name}` === domain);
  return name === domain || name.endsWith(`.${domain}`);
}

/** Leaves out domains that lie under another one of the list. */
function withoutCovered(domains: readonly string[]): string[] {
  const distinct = [...new Set(domains)];
  return distinct.filter((domain) => !distinct.some((other) => other !== domain && domain.endsWith(`.${other}`)));
}
