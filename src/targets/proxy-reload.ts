import { basename } from 'node:path';
import { caddyFileName } from './caddy/files.ts';
import { nameOnHost } from './name-on-host.ts';
import { nginxFileName } from './nginx/files.ts';

/** Where the rendered site of a proxy lies once it is installed, and what makes that proxy read its certificate anew. */
export interface ProxySiteFile {
  readonly program: 'nginx' | 'caddy' | 'haproxy';
  readonly siteFile: string;
  readonly reload: readonly string[];
}

/** The proxies that we render sites for; they are reloaded by systemd where it manages services, else by themselves. */
export function proxySiteFiles(deployment: { readonly name: string }, hasSystemd: boolean): readonly ProxySiteFile[] {
  // Without --force Caddy sees the same configuration as before, and reads no certificate anew.
  const caddy = ['caddy', 'reload', '--config', '/etc/caddy/Caddyfile', '--adapter', 'caddyfile', '--force'];
  return [
    {
      program: 'nginx',
      siteFile: `/etc/nginx/conf.d/${nginxFileName({ deployment })}`,
      reload: hasSystemd ? ['systemctl', 'reload', 'nginx'] : ['nginx', '-s', 'reload'],
    },
    {
      program: 'caddy',
      siteFile: `/etc/caddy/Caddyfile.d/${caddyFileName({ deployment })}`,
      reload: hasSystemd ? ['systemctl', 'reload', 'caddy'] : caddy,
    },
    // Without a service manager its master is told by a signal, and nobody but its starter knows the process.
    ...(hasSystemd
      ? [
          {
            program: 'haproxy',
            siteFile: `/etc/haproxy/conf.d/${nameOnHost(deployment.name)}.cfg`,
            reload: ['systemctl', 'reload', 'haproxy'],
          } as const,
        ]
      : []),
  ];
}

/**
 * What asks the proxy of a reload command whether it would take its configuration, or null when that is not known. A
 * reload over a broken configuration can leave the old certificate in use, or no proxy at all after the next restart.
 */
export function proxyCheckOf(reload: readonly string[]): readonly string[] | null {
  const [program = '', ...words] = reload;
  const name = basename(program);
  if (name === 'nginx') {
    const signal = words.indexOf('-s');
    return signal < 0 ? null : [program, ...words.slice(0, signal), ...words.slice(signal + 2), '-t', '-q'];
  }
  if (name === 'caddy' && words[0] === 'reload') {
    const config = words.flatMap((word, index) =>
      word === '--config' || word === '-c' || word === '--adapter' || word === '-a'
        ? [word, words[index + 1] ?? '']
        : [],
    );
    return config.length === 0 ? null : [program, 'validate', ...config];
  }
  if (name === 'systemctl' && words.includes('reload')) {
    const unit = words.at(-1)?.replace(/\.service$/, '');
    if (unit === 'nginx') return ['nginx', '-t', '-q'];
    if (unit === 'caddy') return ['caddy', 'validate', '--config', '/etc/caddy/Caddyfile', '--adapter', 'caddyfile'];
    // The unit of HAProxy checks by itself before it reloads, and it alone knows which files it is given.
  }
  return null;
}
