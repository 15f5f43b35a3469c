import { join } from 'node:path';
import { renderCaddyFiles } from './caddy/files.ts';
import { renderHaproxyFiles } from './haproxy/files.ts';
import { renderNginxFiles } from './nginx/files.ts';
import { describeProxySite } from './proxy-site.ts';
import type { ScratchFiles, TargetInput, Trial } from './types.ts';

/** nginx -t over a main file that includes nothing but the site. */
export function tryNginx(input: TargetInput, scratch: ScratchFiles): Trial {
  const main = join(scratch.folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `    ${name}_temp_path ${scratch.folder}/${name};`,
  );
  const lines = [
    `pid ${scratch.folder}/nginx.pid;`,
    `error_log ${scratch.folder}/error.log;`,
    'events {}',
    'http {',
    ...temporary,
    `    access_log ${scratch.folder}/access.log;`,
    `    include ${scratch.folder}/site.conf;`,
    '}',
    '',
  ];
  return {
    files: [
      {
        path: join(scratch.folder, 'site.conf'),
        content: renderNginxFiles(standIns(input, scratch))[0]?.content ?? '',
      },
      { path: main, content: lines.join('\n') },
    ],
    argv: ['nginx', '-t', '-p', scratch.folder, '-c', main],
    versionArgv: ['nginx', '-v'],
    complaint: /\[(?:warn|error|emerg|alert|crit)\]/,
  };
}

/** caddy validate, which makes ready all but the listeners; with a home of its own, since it keeps certificates there. */
export function tryCaddy(input: TargetInput, scratch: ScratchFiles): Trial {
  const main = join(scratch.folder, 'Caddyfile');
  const home = ['HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME'].map((name) => `${name}=${scratch.folder}`);
  return {
    files: [
      {
        path: join(scratch.folder, 'site.caddyfile'),
        content: renderCaddyFiles(standIns(input, scratch))[0]?.content ?? '',
      },
      {
        path: main,
        content: `{\n\tadmin off\n\tskip_install_trust\n}\n\nimport ${join(scratch.folder, 'site.caddyfile')}\n`,
      },
    ],
    argv: ['env', ...home, 'caddy', 'validate', '--config', main, '--adapter', 'caddyfile'],
    versionArgv: ['caddy', 'version'],
    complaint: /"level":"error"/,
  };
}

/** haproxy -c over the site alone. */
export function tryHaproxy(input: TargetInput, scratch: ScratchFiles): Trial {
  const site = join(scratch.folder, 'site.cfg');
  return {
    files: [{ path: site, content: renderHaproxyFiles(standIns(input, scratch))[0]?.content ?? '' }],
    argv: ['haproxy', '-c', '-f', site],
    versionArgv: ['haproxy', '-v'],
    complaint: /\[(?:WARNING|ALERT)\]/,
  };
}

/** The same deployment, with files of the scratch folder in place of its own and ports that need no right. */
function standIns(input: TargetInput, scratch: ScratchFiles): TargetInput {
  const { deployment } = input;
  const { certificateFile, keyFile, caFile, crlFile } = scratch;
  const pair = { certificate: certificateFile, key: keyFile };
  const { tls, proxy } = deployment;
  // Without a pair of its own the site takes that of certbot, or Caddy gets one itself: nothing to stand in for there.
  const isNamed = proxy.certificate !== undefined || describeProxySite(input).certificate.kind === 'public-authority';
  return {
    ...input,
    paths: {
      ...input.paths,
      caFile,
      certificateFile,
      keyFile,
      upstreamCaFile: caFile,
      proxyLogDir: scratch.folder,
    },
    proxyPorts: { https: 18_443, http: 18_080 },
    deployment: {
      ...deployment,
      tls: tls.source === 'files' ? { ...tls, ...pair } : tls,
      proxy: {
        ...proxy,
        ...(isNamed ? pair : {}),
        ...(proxy.clientCa === undefined ? {} : { clientCa: caFile }),
        ...(proxy.revokedClients === undefined ? {} : { revokedClients: crlFile }),
      },
    },
  };
}
