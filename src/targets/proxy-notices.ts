import { isCertificateName } from '../deployment/host-name.ts';
import type { ProxySite } from './proxy-site.ts';
import type { TargetInput } from './types.ts';

/** Settings of the server without which it works, but not rightly, behind a proxy. */
export function proxyNotices(input: TargetInput, site: ProxySite): readonly string[] {
  const { server, tls } = input.deployment;
  const known = new Set([...server.allowedHosts, ...(tls.source === 'private-ca' ? (tls.names ?? []) : [])]);
  const unknown = site.serverNames.filter(
    (name) => isCertificateName(name) && !loopbackNames.has(name) && !known.has(name),
  );
  const notices: string[] = [];
  if (server.trustedProxies.length === 0) {
    notices.push(
      'server.trustedProxies is empty: the server sees the address of the proxy in place of the client’s. ' +
        'Set it to [loopback] when the proxy is on this machine.',
    );
  }
  if (unknown.length > 0 && server.publicUrl === undefined) {
    notices.push(
      `The server refuses a Host it does not know: set server.publicUrl, or add ${unknown.join(', ')} to server.allowedHosts.`,
    );
  }
  return notices;
}

const loopbackNames: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);
