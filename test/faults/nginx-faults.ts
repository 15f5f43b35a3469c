import { firstKey } from '../helpers/server-rig.ts';
import type { Backstage, ProxyFault, SiteCase } from './proxy-laboratory.ts';

interface Site {
  readonly plainHttp?: boolean;
  readonly location?: string;
  /** Behind proxy_pass; the server by default. */
  readonly pass?: (at: Parameters<SiteCase['site']>[0]) => string;
  /** Lines of the location in place of those that are usual; proxy_pass is added. */
  readonly lines?: readonly string[];
  /** In the server block, before the location. */
  readonly server?: readonly string[];
  /** Beside the server block. */
  readonly http?: (at: Parameters<SiteCase['site']>[0]) => readonly string[];
  readonly protocols?: string;
  /** The whole location answers by itself. */
  readonly own?: readonly string[];
}

const usual = [
  'proxy_http_version 1.1;',
  'proxy_set_header Host $http_host;',
  'proxy_set_header Connection "";',
  'proxy_buffering off;',
  'proxy_read_timeout 1h;',
  'proxy_intercept_errors off;',
  'client_max_body_size 10m;',
  'gzip off;',
];

const without = (start: string): readonly string[] => usual.filter((line) => !line.startsWith(start));
const plus = (...lines: readonly string[]): readonly string[] => [...usual, ...lines];
const instead = (start: string, ...lines: readonly string[]): readonly string[] => [...without(start), ...lines];

/** PORT and SERVER in lines stand for those of the site. */
function site(change: Site = {}): SiteCase['site'] {
  return (at) =>
    [
      ...(change.http?.(at) ?? []),
      'server {',
      `  listen 127.0.0.1:${at.port}${change.plainHttp === true ? '' : ' ssl'};`,
      ...(change.plainHttp === true
        ? []
        : [
            `  ssl_certificate ${at.folder}/site.crt;`,
            `  ssl_certificate_key ${at.folder}/site.key;`,
            `  ${change.protocols ?? 'ssl_protocols TLSv1.2 TLSv1.3;'}`,
          ]),
      ...(change.server ?? []).map((line) => `  ${line}`),
      `  location ${change.location ?? '/'} {`,
      ...(
        change.own ?? [...(change.lines ?? usual), `proxy_pass ${change.pass?.(at) ?? `http://${at.back.server}`};`]
      ).map((line) => `    ${line}`),
      '  }',
      '}',
    ]
      .join('\n')
      .replaceAll('PORT', String(at.port))
      .replaceAll('SERVER', at.back.server);
}

const to =
  (which: 'server' | 'replica' | 'limited' | 'silent' | 'other' | 'dead', path = '') =>
  ({ back }: Parameters<SiteCase['site']>[0]): string =>
    `http://${back[which]}${path}`;

const page = 'default_type text/html; return 200 "<html>app</html>";';

export const nginxFaults: readonly ProxyFault[] = [
  {
    fault: 'buffering on, and the hint of the server ignored',
    code: 'stream/first-event',
    hop: 'proxy',
    line: /proxy_buffering on/,
    site: site({ lines: instead('proxy_buffering', 'proxy_ignore_headers X-Accel-Buffering;', 'proxy_buffering on;') }),
    twin: {
      fact: 'buffering on, and the server says X-Accel-Buffering: no',
      site: site({ lines: instead('proxy_buffering', 'proxy_buffering on;') }),
    },
  },
  {
    fault: 'buffering as nginx has it by itself, and the hint hidden',
    code: 'stream/first-event',
    hop: 'proxy',
    line: /not set/,
    site: site({ lines: instead('proxy_buffering', 'proxy_ignore_headers X-Accel-Buffering;') }),
    twin: {
      fact: 'gzip on for event streams, which delays nothing here',
      site: site({ lines: instead('gzip', 'gzip on;', 'gzip_types text/event-stream;') }),
    },
  },
  {
    fault: 'passed to a port where nobody listens, while the server runs elsewhere',
    code: 'http/no-server-error',
    hop: 'proxy',
    line: /proxy_pass/,
    site: site({ pass: to('dead') }),
    twin: {
      fact: 'the server by another spelling of its address',
      site: site({ pass: ({ back }) => `http://${back.server.replace('127.0.0.1', 'localhost')}` }),
    },
  },
  {
    fault: 'the server is not running, directly neither',
    code: 'http/no-server-error',
    hop: 'server',
    line: null,
    upstream: 'dead',
    site: site({ pass: to('dead') }),
    twin: { fact: 'the server runs', site: site() },
  },
  {
    fault: 'location /mcp/ in place of /mcp',
    code: 'http/no-redirect',
    hop: 'proxy',
    line: /location \/mcp\//,
    site: site({ location: '/mcp/' }),
    twin: {
      fact: 'location /mcp',
      site: site({ location: '/mcp', server: ['location /.well-known/ { return 404; }'] }),
    },
  },
  {
    fault: 'the path is redirected to another host',
    code: 'http/no-redirect',
    hop: 'proxy',
    line: /return 301/,
    site: site({ own: ['return 301 https://new.example.com/mcp;'] }),
    twin: { fact: 'the start page is redirected', site: site({ server: ['location = / { return 301 /welcome; }'] }) },
  },
  {
    fault: 'the Authorization header is taken off',
    code: 'key/bearer',
    hop: 'proxy',
    line: /Authorization/,
    site: site({ lines: plus('proxy_set_header Authorization "";') }),
    twin: {
      fact: 'it is passed on by name',
      site: site({ lines: plus('proxy_set_header Authorization $http_authorization;') }),
    },
  },
  {
    fault: 'no header of the client is passed on',
    code: 'key/bearer',
    hop: 'proxy',
    line: /proxy_pass_request_headers off/,
    site: site({
      lines: plus(
        'proxy_pass_request_headers off;',
        'proxy_set_header Content-Type application/json;',
        'proxy_set_header Accept "application/json, text/event-stream";',
      ),
    }),
    twin: { fact: 'all are, as is usual', site: site({ lines: plus('proxy_pass_request_headers on;') }) },
  },
  {
    fault: 'every request is given the key',
    code: 'key/none-refused',
    hop: 'proxy',
    line: /\[secret\]/,
    site: site({
      lines: plus(`proxy_set_header Authorization "Bearer ${firstKey}";`),
    }),
    twin: {
      fact: 'an inner header that the server does not read',
      site: site({ lines: plus('proxy_set_header X-Internal-Key abc;') }),
    },
  },
  {
    fault: 'any key is replaced by the right one',
    code: 'key/wrong-refused',
    hop: 'proxy',
    line: null,
    site: site({
      http: ({ port }) => [`map $http_authorization $key_${port} { default "Bearer ${firstKey}"; "" ""; }`],
      lines: plus('proxy_set_header Authorization $key_PORT;'),
    }),
    twin: {
      fact: 'the header goes through a map that keeps it',
      site: site({
        http: ({ port }) => [`map $http_authorization $key_${port} { default $http_authorization; }`],
        lines: plus('proxy_set_header Authorization $key_PORT;'),
      }),
    },
  },
  {
    fault: 'the x-api-key header is taken off',
    code: 'key/x-api-key',
    hop: 'proxy',
    severity: 'warning',
    line: /X-Api-Key/,
    site: site({ lines: plus('proxy_set_header X-Api-Key "";') }),
    twin: { fact: 'it is passed on', site: site({ lines: plus('proxy_set_header X-Api-Key $http_x_api_key;') }) },
  },
  {
    fault: 'WWW-Authenticate is hidden',
    code: 'key/challenge',
    hop: 'proxy',
    severity: 'warning',
    line: /proxy_hide_header WWW-Authenticate/,
    site: site({ lines: plus('proxy_hide_header WWW-Authenticate;') }),
    twin: { fact: 'another header is hidden', site: site({ lines: plus('proxy_hide_header X-Powered-By;') }) },
  },
  {
    fault: 'the OAuth paths end in a web application',
    code: 'http/well-knowns-json',
    hop: 'proxy',
    line: /\.well-known/,
    site: site({ server: [`location /.well-known/ { ${page} }`] }),
    twin: {
      fact: 'only the ACME path does',
      site: site({ server: [`location ^~ /.well-known/acme-challenge/ { ${page} }`] }),
    },
  },
  {
    fault: 'Host is rewritten to a name that the server does not know',
    code: 'http/host-allowed',
    hop: 'proxy',
    line: /Host backend\.internal/,
    site: site({ lines: instead('proxy_set_header Host', 'proxy_set_header Host backend.internal;') }),
    twin: {
      fact: 'Host without its port',
      site: site({ lines: instead('proxy_set_header Host', 'proxy_set_header Host $host;') }),
    },
  },
  {
    fault: 'the site is plain HTTP on the https port',
    code: 'tls/handshake',
    hop: 'tls',
    line: null,
    site: site({ plainHttp: true }),
    twin: { fact: 'plain HTTP on loopback, asked for as such', scheme: 'http', site: site({ plainHttp: true }) },
  },
  {
    fault: 'TLS 1.1 is let in',
    code: 'tls/versions',
    hop: 'tls',
    severity: 'warning',
    line: /TLSv1\.1/,
    site: site({ protocols: 'ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers DEFAULT:@SECLEVEL=0;' }),
    twin: { fact: 'TLS 1.2 alone', site: site({ protocols: 'ssl_protocols TLSv1.2;' }) },
  },
  {
    fault: 'bodies above 1 MB are refused, as nginx does by itself',
    code: 'sizes/body',
    hop: 'proxy',
    line: /not set/,
    site: site({ lines: without('client_max_body_size') }),
    twin: {
      fact: '2 MB are let through',
      site: site({ lines: instead('client_max_body_size', 'client_max_body_size 2m;') }),
    },
  },
  {
    fault: 'header lines above 2 KB are refused',
    code: 'sizes/header',
    hop: 'proxy',
    line: /large_client_header_buffers 4 2k/,
    site: site({ server: ['client_header_buffer_size 1k;', 'large_client_header_buffers 4 2k;'] }),
    twin: { fact: '8 KB are taken', site: site({ server: ['large_client_header_buffers 4 8k;'] }) },
  },
  {
    fault: 'Mcp-Method is taken off',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /Mcp-Method/,
    site: site({ lines: plus('proxy_set_header Mcp-Method "";') }),
    twin: {
      fact: 'it is passed on by name',
      site: site({ lines: plus('proxy_set_header Mcp-Method $http_mcp_method;') }),
    },
  },
  {
    fault: 'MCP-Protocol-Version is taken off',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /Mcp-Protocol-Version/,
    site: site({ lines: plus('proxy_set_header Mcp-Protocol-Version "";') }),
    twin: {
      fact: 'it is passed on by name',
      site: site({ lines: plus('proxy_set_header Mcp-Protocol-Version $http_mcp_protocol_version;') }),
    },
  },
  {
    fault: 'Mcp-Session-Id of the answer is hidden',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /proxy_hide_header Mcp-Session-Id/,
    site: site({ lines: plus('proxy_hide_header Mcp-Session-Id;') }),
    twin: {
      fact: 'another header of the answer is hidden',
      site: site({ lines: plus('proxy_hide_header X-Request-Id;') }),
    },
  },
  {
    fault: 'Mcp-Session-Id of the request is taken off',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /Mcp-Session-Id/,
    site: site({ lines: plus('proxy_set_header Mcp-Session-Id "";') }),
    twin: {
      fact: 'it is passed on by name',
      site: site({ lines: plus('proxy_set_header Mcp-Session-Id $http_mcp_session_id;') }),
    },
  },
  {
    fault: 'two replicas in turn',
    code: 'session/kept',
    hop: 'proxy',
    line: /upstream/,
    site: site({
      http: ({ port, back }) => [
        `upstream two_${port} {`,
        `  server ${back.server};`,
        `  server ${back.replica};`,
        '}',
      ],
      pass: ({ port }) => `http://two_${port}`,
    }),
    twin: {
      fact: 'two replicas, and a client stays with one',
      site: site({
        http: ({ port, back }) => [
          `upstream two_${port} {`,
          '  ip_hash;',
          `  server ${back.server};`,
          `  server ${back.replica};`,
          '}',
        ],
        pass: ({ port }) => `http://two_${port}`,
      }),
    },
  },
  {
    fault: 'errors of the server are replaced by pages',
    code: 'protocol/unknown-session',
    hop: 'proxy',
    line: /proxy_intercept_errors on/,
    site: site({
      lines: instead('proxy_intercept_errors', 'proxy_intercept_errors on;', 'error_page 404 =400 /sorry.html;'),
      server: ['location = /sorry.html { internal; return 400 "sorry"; }'],
    }),
    twin: {
      fact: 'only a 502 is',
      site: site({
        lines: instead('proxy_intercept_errors', 'proxy_intercept_errors on;', 'error_page 502 /sorry.html;'),
      }),
    },
  },
  {
    fault: 'a wrong request is answered with the page of nginx',
    code: 'http/errors-json',
    hop: 'proxy',
    severity: 'warning',
    line: /proxy_intercept_errors on/,
    site: site({
      lines: instead('proxy_intercept_errors', 'proxy_intercept_errors on;', 'error_page 400 /sorry.html;'),
      server: ['location = /sorry.html { internal; default_type text/html; return 200 "<h1>sorry</h1>"; }'],
    }),
    twin: {
      fact: 'pages for 502 and 504',
      site: site({
        lines: instead('proxy_intercept_errors', 'proxy_intercept_errors on;', 'error_page 502 504 /sorry.html;'),
      }),
    },
  },
  {
    fault: 'Origin is taken off',
    code: 'http/origin-refused',
    hop: 'proxy',
    severity: 'warning',
    line: /Origin/,
    site: site({ lines: plus('proxy_set_header Origin "";') }),
    twin: { fact: 'Origin is passed on', site: site({ lines: plus('proxy_set_header Origin $http_origin;') }) },
  },
  {
    fault: 'Access-Control-Allow-Origin comes from both',
    code: 'cors/single-origin',
    hop: 'proxy',
    line: /Access-Control-Allow-Origin/,
    doctor: { pageOrigin: 'https://app.example.com' },
    site: site({ lines: plus('add_header Access-Control-Allow-Origin "https://app.example.com" always;') }),
    twin: {
      fact: 'only the server sends it',
      doctor: { pageOrigin: 'https://app.example.com' },
      site: site({ lines: plus('add_header X-Frame-Options DENY always;') }),
    },
  },
  {
    fault: 'nginx answers preflights itself, with a short list',
    code: 'cors/preflight',
    hop: 'proxy',
    line: null,
    doctor: { pageOrigin: 'https://app.example.com' },
    config: false,
    site: site({
      location: '/',
      own: [
        'if ($request_method = OPTIONS) { add_header Access-Control-Allow-Origin https://app.example.com; add_header Access-Control-Allow-Headers "Content-Type, Authorization"; return 204; }',
        ...usual,
        'proxy_pass http://SERVER;',
      ],
    }),
    twin: {
      fact: 'nginx answers them with the full list',
      doctor: { pageOrigin: 'https://app.example.com' },
      config: false,
      site: site({
        own: [
          'if ($request_method = OPTIONS) { add_header Access-Control-Allow-Origin https://app.example.com; add_header Access-Control-Allow-Headers "Content-Type, Authorization, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name"; add_header Access-Control-Allow-Methods "GET, POST, DELETE"; return 204; }',
          ...usual,
          'proxy_pass http://SERVER;',
        ],
      }),
    },
  },
  {
    fault: 'nginx answers preflights itself, and forgets DELETE',
    code: 'cors/methods',
    hop: 'proxy',
    line: null,
    doctor: { pageOrigin: 'https://app.example.com' },
    config: false,
    site: site({
      own: [
        'if ($request_method = OPTIONS) { add_header Access-Control-Allow-Origin https://app.example.com; add_header Access-Control-Allow-Headers "Content-Type, Authorization, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name"; add_header Access-Control-Allow-Methods "GET, POST, OPTIONS"; return 204; }',
        ...usual,
        'proxy_pass http://SERVER;',
      ],
    }),
    twin: {
      fact: 'the server answers them',
      doctor: { pageOrigin: 'https://app.example.com' },
      site: site(),
    },
  },
  {
    fault: 'what pages may read is hidden',
    code: 'cors/exposed',
    hop: 'proxy',
    line: null,
    doctor: { pageOrigin: 'https://app.example.com' },
    site: site({ lines: plus('proxy_hide_header Access-Control-Expose-Headers;') }),
    twin: {
      fact: 'Vary is hidden',
      doctor: { pageOrigin: 'https://app.example.com' },
      site: site({ lines: plus('proxy_hide_header Vary;') }),
    },
  },
  {
    fault: 'connections are closed after every answer',
    code: 'http/keep-alive',
    hop: 'proxy',
    severity: 'warning',
    line: /keepalive_timeout 0/,
    site: site({ server: ['keepalive_timeout 0;'] }),
    twin: { fact: 'connections are kept for five seconds', site: site({ server: ['keepalive_timeout 5s;'] }) },
  },
  {
    fault: 'nginx waits for a minute',
    code: 'proxy/read-timeout',
    hop: 'proxy',
    severity: 'warning',
    line: /60s/,
    site: site({ lines: instead('proxy_read_timeout', 'proxy_read_timeout 60s;') }),
    twin: {
      fact: 'nginx waits for five',
      site: site({ lines: instead('proxy_read_timeout', 'proxy_read_timeout 5m;') }),
    },
  },
  {
    fault: 'nginx waits for as long as it does by itself',
    code: 'proxy/read-timeout',
    hop: 'proxy',
    severity: 'warning',
    line: /not set/,
    site: site({ lines: without('proxy_read_timeout') }),
    twin: {
      fact: 'said once for the whole site',
      site: site({ lines: without('proxy_read_timeout'), server: ['proxy_read_timeout 3600s;'] }),
    },
  },
  {
    fault: 'the server is asked in HTTP/1.0',
    code: 'proxy/http-version',
    hop: 'proxy',
    severity: 'warning',
    line: /not set/,
    site: site({ lines: without('proxy_http_version') }),
    twin: {
      fact: 'HTTP/1.1 is said for the whole site',
      site: site({ lines: without('proxy_http_version'), server: ['proxy_http_version 1.1;'] }),
    },
  },
  {
    fault: 'a limit that answers 503',
    code: 'proxy/limit-status',
    hop: 'proxy',
    severity: 'warning',
    line: /limit_req/,
    site: site({
      http: ({ port }) => [`limit_req_zone $binary_remote_addr zone=z${port}:1m rate=1000r/s;`],
      lines: plus('limit_req zone=zPORT burst=500 nodelay;'),
    }),
    twin: {
      fact: 'a limit that answers 429',
      site: site({
        http: ({ port }) => [`limit_req_zone $binary_remote_addr zone=z${port}:1m rate=1000r/s;`],
        lines: plus('limit_req zone=zPORT burst=500 nodelay;', 'limit_req_status 429;'),
      }),
    },
  },
  {
    fault: 'the limit of nginx is reached, and answers 503',
    code: 'limits/answers-429',
    hop: 'proxy',
    line: /limit_req/,
    doctor: { limits: true },
    site: site({
      http: ({ port }) => [`limit_req_zone $binary_remote_addr zone=z${port}:1m rate=1r/s;`],
      lines: plus('limit_req zone=zPORT burst=60 nodelay;'),
    }),
    twin: {
      fact: 'it answers 429 and says when to come back',
      doctor: { limits: true },
      site: site({
        http: ({ port }) => [`limit_req_zone $binary_remote_addr zone=z${port}:1m rate=1r/s;`],
        lines: plus(
          'limit_req zone=zPORT burst=60 nodelay;',
          'limit_req_status 429;',
          'add_header Retry-After 5 always;',
        ),
      }),
    },
  },
  {
    fault: 'the limit of nginx does not say when to come back',
    code: 'limits/retry-after',
    hop: 'server',
    line: null,
    doctor: { limits: true },
    site: site({
      http: ({ port }) => [`limit_req_zone $binary_remote_addr zone=z${port}:1m rate=1r/s;`],
      lines: plus('limit_req zone=zPORT burst=60 nodelay;', 'limit_req_status 429;'),
    }),
    twin: {
      fact: 'the limit of the server does',
      upstream: 'limited',
      doctor: { limits: true },
      site: site({ pass: to('limited') }),
    },
  },
  {
    fault: 'a header for one location drops those of the site',
    code: 'proxy/lost-headers',
    hop: 'proxy',
    severity: 'warning',
    line: /X-One/,
    site: site({ server: ['add_header X-Content-Type-Options nosniff always;'], lines: plus('add_header X-One 1;') }),
    twin: {
      fact: 'the location says them again',
      site: site({
        server: ['add_header X-Content-Type-Options nosniff always;'],
        lines: plus('add_header X-One 1;', 'add_header X-Content-Type-Options nosniff always;'),
      }),
    },
  },
  {
    fault: 'a web application answers the path',
    code: 'http/json-not-html',
    hop: 'proxy',
    line: /return 200/,
    site: site({ own: ['default_type text/html;', 'return 200 "<html>app</html>";'] }),
    twin: { fact: 'it answers the start page', site: site({ server: [`location = / { ${page} }`] }) },
  },
  {
    fault: 'proxy_pass with a path replaces that of the endpoint',
    code: 'http/endpoint-found',
    hop: 'proxy',
    line: /proxy_pass/,
    site: site({ location: '/mcp', pass: to('server', '/api/') }),
    twin: {
      fact: 'proxy_pass with the same path',
      site: site({ location: '/mcp', pass: to('server', '/mcp'), server: ['location /.well-known/ { return 404; }'] }),
    },
  },
  {
    fault: 'silent streams are cut after five seconds',
    code: 'stream/idle',
    hop: 'proxy',
    line: /proxy_read_timeout 5s/,
    upstream: 'silent',
    doctor: { patience: { idleWatchMs: 9_000 } },
    site: site({ lines: instead('proxy_read_timeout', 'proxy_read_timeout 5s;'), pass: to('silent') }),
    twin: {
      fact: 'the same server through a patient proxy',
      upstream: 'silent',
      doctor: { patience: { idleWatchMs: 2_500 } },
      site: site({ pass: to('silent') }),
    },
  },
  {
    fault: 'another server answers through the proxy',
    code: 'proxy/same-server',
    hop: 'proxy',
    line: null,
    site: site({ pass: to('other') }),
    twin: { fact: 'a server of somebody else, both ways', upstream: 'other', site: site({ pass: to('other') }) },
  },
];

/** nginx as it should be. */
export const healthyNginx = (which: keyof Backstage): SiteCase['site'] =>
  site({ pass: ({ back }) => `http://${back[which]}` });
