import { proxyNotices } from '../proxy-notices.ts';
import { describeProxySite } from '../proxy-site.ts';
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
      ...(input.addressLimit === undefined
        ? []
        : ['Caddy has no rate limit of its own, so the limit per address is left to the server’s limits per key.']),
      ...proxyNotices(input),
    ],
  };
}
