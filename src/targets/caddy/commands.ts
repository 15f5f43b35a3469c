import { proxyNotices } from '../proxy-notices.ts';
import { describeProxySite, type ProxySite } from '../proxy-site.ts';
import type { TargetCommands, TargetInput } from '../types.ts';

export function planCaddyCommands(input: TargetInput): TargetCommands {
  const site = describeProxySite(input);
  const reload = { title: 'reload Caddy', argv: ['systemctl', 'reload', 'caddy'] };
  return {
    // The whole configuration: a site can be right by itself and clash with another one.
    check: [
      {
        title: 'check the Caddy configuration',
        argv: ['caddy', 'validate', '--config', '/etc/caddy/Caddyfile', '--adapter', 'caddyfile'],
      },
    ],
    install: [reload],
    restart: [reload],
    remove: [reload],
    notices: [
      'The main Caddyfile needs the line: import Caddyfile.d/*.caddyfile',
      ...(site.certificate.kind === 'none'
        ? [
            'Caddy’s own authority signs the certificate: clients need its root, `caddy trust` puts it into this machine’s store.',
          ]
        : []),
      ...(site.certificate.kind === 'files'
        ? ['Caddy runs as its own user, who must be able to read the private key.']
        : []),
      ...(site.limit === null
        ? []
        : ['Caddy has no rate limit of its own, so proxy.limit is left to the server’s limits per key.']),
      ...(site.proxyProtocolFrom.length === 0 ? [] : [listenerNotice(site)]),
      ...proxyNotices(input),
    ],
  };
}

/** What reads the PROXY protocol belongs to a port and not to a site, so it can only stand among the global options. */
function listenerNotice({ httpsPort, httpPort, proxyProtocolFrom }: ProxySite): string {
  const wrapper = `listener_wrappers { proxy_protocol { allow ${proxyProtocolFrom.join(' ')} } tls }`;
  return `proxy.proxyProtocolFrom belongs into the global options of the main Caddyfile: servers :${httpsPort} { ${wrapper} }, the same for :${httpPort} without tls.`;
}
