import { describeProxySite } from '../proxy-site.ts';
import { proxyNotices } from '../proxy-notices.ts';
import type { TargetCommands, TargetInput } from '../types.ts';
import { nginxFileName } from './files.ts';

export function planNginxCommands(input: TargetInput): TargetCommands {
  const site = describeProxySite(input);
  const reload = { title: 'reload nginx', argv: ['systemctl', 'reload', 'nginx'] };
  const longName = site.serverNames.find((name) => name.length > 46);
  return {
    // The whole configuration: a site can be right by itself and clash with another one.
    check: [{ title: 'check the nginx configuration', argv: ['nginx', '-t'] }],
    install: [reload],
    restart: [reload],
    remove: [reload],
    notices: [
      `Belongs into the http block: ${nginxFileName(input)} in /etc/nginx/conf.d is read there.`,
      'nginx gives names that no site has to the first site on the port: mark another one default_server to keep it.',
      ...(longName === undefined
        ? []
        : [`${longName} is a long name: nginx may ask for "server_names_hash_bucket_size 128;" in its http block.`]),
      ...proxyNotices(input),
    ],
  };
}
