import { firstKey } from '../helpers/server-rig.ts';
import type { Backstage, ProxyFault, SiteCase } from './proxy-laboratory.ts';

interface Site {
  readonly to?: (back: Backstage) => string;
  /** In the reverse_proxy block. */
  readonly proxy?: readonly string[];
  /** In the site, before reverse_proxy. */
  readonly lines?: readonly string[];
  /** In place of reverse_proxy. */
  readonly own?: (back: Backstage) => readonly string[];
}

/** Caddy with its usual settings: nothing has to be said for event streams. */
function site({ to = ({ server }) => server, proxy = [], lines = [], own }: Site = {}): SiteCase['site'] {
  return ({ port, back, folder }) =>
    [
      `https://localhost:${port} {`,
      '\tbind 127.0.0.1',
      `\ttls ${folder}/site.crt ${folder}/site.key`,
      ...lines.map((line) => `\t${line}`),
      ...(own?.(back).map((line) => `\t${line}`) ?? [
        `\treverse_proxy ${to(back)} {`,
        ...proxy.map((line) => `\t\t${line}`),
        '\t}',
      ]),
      '}',
    ].join('\n');
}

export const caddyFaults: readonly ProxyFault[] = [
  {
    fault: 'encode takes event streams too',
    code: 'stream/compressed',
    hop: 'proxy',
    line: /encode gzip/,
    // Our own server and the SDK say no-transform, which Caddy heeds.
    upstream: 'transformable',
    site: site({ lines: ['encode gzip'], to: ({ transformable }) => transformable }),
    twin: {
      fact: 'encode for JSON alone',
      site: site({ lines: ['encode gzip {', '\tmatch header Content-Type application/json*', '}'] }),
    },
  },
  {
    fault: 'nobody listens where it passes requests',
    code: 'http/no-server-error',
    hop: 'proxy',
    line: /reverse_proxy/,
    site: site({ to: ({ dead }) => dead }),
    twin: { fact: 'the server by name', site: site({ to: ({ server }) => server.replace('127.0.0.1', 'localhost') }) },
  },
  {
    fault: 'Authorization is taken off',
    code: 'key/bearer',
    hop: 'proxy',
    line: /header_up -Authorization/,
    site: site({ proxy: ['header_up -Authorization'] }),
    twin: { fact: 'Forwarded is taken off', site: site({ proxy: ['header_up -Forwarded'] }) },
  },
  {
    fault: 'every request is given the key',
    code: 'key/none-refused',
    hop: 'proxy',
    line: /\[secret\]/,
    site: site({ proxy: [`header_up Authorization "Bearer ${firstKey}"`] }),
    twin: { fact: 'an inner header is added', site: site({ proxy: ['header_up X-Inner 1'] }) },
  },
  {
    fault: 'Mcp-Method is taken off',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /Mcp-Method/,
    site: site({ proxy: ['header_up -Mcp-Method'] }),
    twin: { fact: 'X-Powered-By of the answer is taken off', site: site({ proxy: ['header_down -X-Powered-By'] }) },
  },
  {
    fault: 'Mcp-Session-Id of the answer is taken off',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /header_down -Mcp-Session-Id/,
    site: site({ proxy: ['header_down -Mcp-Session-Id'] }),
    twin: { fact: 'Server of the answer is taken off', site: site({ proxy: ['header_down -Server'] }) },
  },
  {
    fault: 'Host is replaced by an inner name',
    code: 'http/host-allowed',
    hop: 'proxy',
    line: /header_up Host backend\.internal/,
    site: site({ proxy: ['header_up Host backend.internal'] }),
    twin: { fact: 'Host is passed on', site: site({ proxy: ['header_up Host {host}'] }) },
  },
  {
    fault: 'handle_path takes the path off',
    code: 'http/endpoint-found',
    hop: 'proxy',
    line: /handle_path/,
    site: site({
      own: ({ server }) => ['handle_path /mcp* {', `\treverse_proxy ${server}`, '}', 'handle {', '\terror 404', '}'],
    }),
    twin: {
      fact: 'handle keeps it',
      site: site({
        own: ({ server }) => ['handle /mcp* {', `\treverse_proxy ${server}`, '}', 'handle {', '\terror 404', '}'],
      }),
    },
  },
  {
    fault: 'the path is redirected',
    code: 'http/no-redirect',
    hop: 'proxy',
    line: /redir/,
    site: site({ lines: ['redir /mcp /mcp/ 308'] }),
    twin: { fact: 'the start page is', site: site({ lines: ['redir / /welcome'] }), config: false },
  },
  {
    fault: 'a page answers everything',
    code: 'http/json-not-html',
    hop: 'proxy',
    line: /respond/,
    site: site({ lines: ['header Content-Type text/html', 'respond "<html>app</html>" 200'] }),
    twin: { fact: 'a page answers the start page', site: site({ lines: ['respond / "hello" 200'] }) },
  },
  {
    fault: 'bodies above 1 MB are refused',
    code: 'sizes/body',
    hop: 'proxy',
    line: /max_size 1MB/,
    site: site({ lines: ['request_body {', '\tmax_size 1MB', '}'] }),
    twin: { fact: '10 MB are let through', site: site({ lines: ['request_body {', '\tmax_size 10MB', '}'] }) },
  },
  {
    fault: 'Access-Control-Allow-Origin comes from both',
    code: 'cors/single-origin',
    hop: 'proxy',
    line: /Access-Control-Allow-Origin/,
    doctor: { pageOrigin: 'https://app.example.com' },
    site: site({ lines: ['header +Access-Control-Allow-Origin https://app.example.com'] }),
    twin: {
      fact: 'the server alone sends it',
      doctor: { pageOrigin: 'https://app.example.com' },
      site: site({ lines: ['header X-Frame-Options DENY'] }),
    },
  },
  {
    fault: 'two replicas in turn',
    code: 'session/kept',
    hop: 'proxy',
    line: /reverse_proxy/,
    site: site({ to: ({ server, replica }) => `${server} ${replica}`, proxy: ['lb_policy round_robin'] }),
    twin: {
      fact: 'two replicas, and a client stays with one',
      site: site({ to: ({ server, replica }) => `${server} ${replica}`, proxy: ['lb_policy ip_hash'] }),
    },
  },
  {
    fault: 'Caddy gives up after half a minute',
    code: 'proxy/read-timeout',
    hop: 'proxy',
    severity: 'warning',
    line: /response_header_timeout 30s/,
    site: site({ proxy: ['transport http {', '\tresponse_header_timeout 30s', '}'] }),
    twin: {
      fact: 'after an hour',
      site: site({ proxy: ['transport http {', '\tresponse_header_timeout 1h', '}'] }),
    },
  },
  {
    fault: 'Origin is taken off',
    code: 'http/origin-refused',
    hop: 'proxy',
    severity: 'warning',
    line: /Origin/,
    site: site({ proxy: ['header_up -Origin'] }),
    twin: { fact: 'Referer is taken off', site: site({ proxy: ['header_up -Referer'] }) },
  },
];

/** Caddy as it should be. */
export const healthyCaddy = (which: keyof Backstage): SiteCase['site'] => site({ to: (back) => back[which] });
