import { BlockList, isIP } from 'node:net';
import type { Deployment } from './schema.ts';

/**
 * What of a deployment is allowed and probably not meant: one sentence each, with what to do. `plan` and `up` show them,
 * the server writes them to its log and `serve --check` prints them. Pure.
 */
export function describeRisks({ server }: Pick<Deployment, 'server'>): readonly string[] {
  const risks: string[] = [];
  const { allowFrom, denyFrom, allowedOrigins, behindProxy, trustedProxies } = server;
  const keepsLoopbackOut = (allowFrom.length > 0 && !coversLoopback(allowFrom)) || coversLoopback(denyFrom);
  if (keepsLoopbackOut) {
    risks.push(
      'server.allowFrom and denyFrom keep this machine out: up, status and doctor cannot call the server from here. Add loopback to allowFrom.',
    );
  }
  const judgesAddresses = allowFrom.length > 0 || denyFrom.length > 0 || Array.isArray(server.healthFrom);
  if (behindProxy && judgesAddresses && trustedProxies.length === 0) {
    risks.push(
      'server.allowFrom and denyFrom see the address of the proxy for every client. Name the proxy in server.trustedProxies.',
    );
  }
  if (allowedOrigins.includes('*')) {
    risks.push('server.allowedOrigins lets pages of every origin call; a key is all that they need. List the origins.');
  }
  return risks;
}

function coversLoopback(entries: readonly string[]): boolean {
  if (entries.includes('loopback')) return true;
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address);
    if (family !== 0)
      list.addSubnet(address, Number(bits ?? (family === 4 ? 32 : 128)), family === 4 ? 'ipv4' : 'ipv6');
  }
  return list.check('127.0.0.1', 'ipv4') || list.check('::1', 'ipv6');
}
