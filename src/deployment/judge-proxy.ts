import { isDnsName } from './host-name.ts';
import { judgeAddressBlocks, judgeAddressForms } from './judge-addresses.ts';
import { judgeFilePath, ownHeaders, type MeaningProblem } from './judge-texts.ts';
import { parseListenAddress } from './listen-address.ts';
import type { Deployment } from './schema.ts';
import type { SettingPath } from './setting-path.ts';
import { quoted } from './shape-sentences.ts';

/** What a reverse proxy in front of the server could not work with, or should not. */
export function judgeProxy({ proxy }: Deployment): MeaningProblem[] {
  const problems: MeaningProblem[] = [];
  if (proxy.serverName !== undefined && !isDnsName(proxy.serverName)) {
    const message = `is not a DNS name: ${quoted(proxy.serverName)}`;
    problems.push({ path: ['proxy', 'serverName'], message, hint: 'for example: mcp.example.com' });
  }
  if (proxy.certificate !== undefined && proxy.key === undefined) {
    problems.push({ path: ['proxy', 'certificate'], at: 'key', message: 'needs proxy.key beside it' });
  }
  if (proxy.key !== undefined && proxy.certificate === undefined) {
    problems.push({ path: ['proxy', 'key'], at: 'key', message: 'needs proxy.certificate beside it' });
  }
  for (const setting of ['certificate', 'key', 'clientCa', 'revokedClients'] as const) {
    const file = proxy[setting];
    if (file !== undefined) problems.push(...judgeFilePath(['proxy', setting], file));
  }
  if (proxy.revokedClients !== undefined && proxy.clientCa === undefined) {
    problems.push({ path: ['proxy', 'revokedClients'], at: 'key', message: 'needs proxy.clientCa beside it' });
  }
  if (takenHeaders.has(proxy.clientHeader.toLowerCase())) {
    const message = `has another meaning: ${quoted(proxy.clientHeader)}`;
    problems.push({ path: ['proxy', 'clientHeader'], message, hint: 'for example: X-Client-Subject' });
  }
  for (const setting of ['metricsFrom', 'allowFrom', 'denyFrom', 'proxyProtocolFrom'] as const) {
    problems.push(...judgeAddressBlocks(['proxy', setting], proxy[setting], ['loopback']));
  }
  for (const [index, text] of proxy.metricsFrom.entries()) {
    if (!text.endsWith('/0')) continue;
    const path = ['proxy', 'metricsFrom', index];
    problems.push({ path, message: `gives the metrics to everyone: ${quoted(text)}`, hint: 'name who reads them' });
  }
  return [...problems, ...judgeServers(proxy.servers)];
}

/** Headers that a proxy sets itself, or that carry the keys. */
const takenHeaders: ReadonlySet<string> = new Set([
  ...ownHeaders,
  ...'authorization x-api-key x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-real-ip forwarded via origin'.split(
    ' ',
  ),
]);

function judgeServers(servers: Deployment['proxy']['servers']): MeaningProblem[] {
  if (servers === undefined) return [];
  const path = ['proxy', 'servers'];
  const entries = Object.entries(servers).map(([name, text]) => ({
    path: [...path, Array.isArray(servers) ? Number(name) : name] as SettingPath,
    text,
    address: parseListenAddress(text),
  }));
  if (entries.length === 0) return [{ path, message: 'names no server', hint: 'for example: { r1: 10.0.0.11:8443 }' }];
  const problems = judgeAddressForms(entries);
  const sockets = entries.filter(({ address }) => address.kind === 'unix').length;
  if (sockets > 0 && sockets < entries.length) {
    problems.push({ path, message: 'mixes sockets and addresses', hint: 'servers of one site are reached in one way' });
  }
  for (const [index, { path: place, text }] of entries.entries()) {
    if (entries.findIndex((other) => other.text === text) === index) continue;
    problems.push({ path: place, message: `repeats ${quoted(text)}`, hint: 'keep one of the two' });
  }
  return problems;
}
