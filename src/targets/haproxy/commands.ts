import { describeProxySite } from '../proxy-site.ts';
import { proxyNotices } from '../proxy-notices.ts';
import type { TargetCommands, TargetInput } from '../types.ts';
import { haproxyFileName } from './files.ts';
import { haproxyCertificate } from './view.ts';

export function planHaproxyCommands(input: TargetInput): TargetCommands {
  const reload = { title: 'reload HAProxy', argv: ['systemctl', 'reload', 'haproxy'] };
  const { certificate, key } = haproxyCertificate(describeProxySite(input));
  const main = ['-f', '/etc/haproxy/haproxy.cfg'];
  return {
    check: [
      {
        title: 'check the HAProxy configuration',
        argv: ['haproxy', '-c', ...main, '-f', `/etc/haproxy/conf.d/${haproxyFileName(input)}`],
      },
    ],
    install: [
      // HAProxy looks for the key of a certificate beside it, under the same name with .key at the end.
      { title: 'put the key where HAProxy looks for it', argv: ['ln', '-sfn', key, `${certificate}.key`] },
      reload,
    ],
    restart: [reload],
    remove: [{ title: 'remove the link to the key', argv: ['rm', '-f', `${certificate}.key`] }, reload],
    notices: [
      'HAProxy reads /etc/haproxy/conf.d when it is told to: on Debian EXTRAOPTS="-f /etc/haproxy/conf.d" in /etc/default/haproxy.',
      'The frontend takes its two ports for itself; where another one has them already, move its rules there.',
      'The access log goes to syslog (/dev/log, local0): JSON without query and headers.',
      ...proxyNotices(input),
    ],
  };
}
