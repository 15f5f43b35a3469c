import { firstKey } from '../helpers/server-rig.ts';
import type { Backstage, ProxyFault, SiteCase } from './proxy-laboratory.ts';

interface Site {
  readonly defaults?: readonly string[];
  readonly bind?: string;
  readonly frontend?: readonly string[];
  readonly backend?: readonly string[];
  readonly servers?: (back: Backstage) => readonly string[];
}

const patient = ['timeout client 1h', 'timeout server 1h', 'timeout connect 5s'];

function site(change: Site = {}): SiteCase['site'] {
  return ({ port, back, folder }) => {
    const servers = change.servers?.(back) ?? [back.server];
    return [
      `defaults d${port}`,
      '    mode http',
      ...(change.defaults ?? patient).map((line) => `    ${line}`),
      `frontend f${port} from d${port}`,
      `    bind 127.0.0.1:${port} ssl crt ${folder}/site.pem ${change.bind ?? 'ssl-min-ver TLSv1.2'}`,
      ...(change.frontend ?? []).map((line) => `    ${line}`),
      `    default_backend b${port}`,
      `backend b${port} from d${port}`,
      ...(change.backend ?? []).map((line) => `    ${line}`),
      ...servers.map((address, index) => `    server s${index} ${address}`),
    ].join('\n');
  };
}

const both = ({ server, replica }: Backstage): readonly string[] => [server, replica];
const sticky = [
  'stick-table type string len 64 size 1k expire 1h',
  'stick store-response res.hdr(mcp-session-id)',
  'stick match req.hdr(mcp-session-id)',
];

export const haproxyFaults: readonly ProxyFault[] = [
  {
    fault: 'nobody listens where it passes requests',
    code: 'http/no-server-error',
    hop: 'proxy',
    line: /server s0/,
    site: site({ servers: ({ dead }) => [dead] }),
    twin: { fact: 'the server', site: site() },
  },
  {
    fault: 'Authorization is taken off',
    code: 'key/bearer',
    hop: 'proxy',
    line: /del-header Authorization/,
    site: site({ frontend: ['http-request del-header Authorization'] }),
    twin: { fact: 'Via is taken off', site: site({ frontend: ['http-request del-header Via'] }) },
  },
  {
    fault: 'every request is given the key',
    code: 'key/none-refused',
    hop: 'proxy',
    line: /\[secret\]/,
    site: site({ backend: [`http-request set-header Authorization "Bearer ${firstKey}"`] }),
    twin: {
      fact: 'the address of the client is added',
      site: site({ backend: ['http-request set-header X-Client %[src]'] }),
    },
  },
  {
    fault: 'MCP-Protocol-Version is taken off',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /del-header mcp-protocol-version/,
    site: site({ frontend: ['http-request del-header mcp-protocol-version'] }),
    twin: {
      fact: 'X-Forwarded-For is taken off',
      site: site({ frontend: ['http-request del-header x-forwarded-for'] }),
    },
  },
  {
    fault: 'Mcp-Session-Id of the answer is taken off',
    code: 'protocol/headers-kept',
    hop: 'proxy',
    line: /del-header mcp-session-id/,
    site: site({ frontend: ['http-response del-header mcp-session-id'] }),
    twin: { fact: 'Server of the answer is taken off', site: site({ frontend: ['http-response del-header server'] }) },
  },
  {
    fault: 'Host is replaced',
    code: 'http/host-allowed',
    hop: 'proxy',
    line: /set-header Host/,
    site: site({ backend: ['http-request set-header Host backend.internal'] }),
    twin: {
      fact: 'Host loses its port',
      site: site({ backend: ['http-request replace-header Host ^(.*):[0-9]+$ \\1'] }),
    },
  },
  {
    fault: 'the path is replaced',
    code: 'http/endpoint-found',
    hop: 'proxy',
    line: /set-path/,
    site: site({ backend: ['http-request set-path /api%[path]'] }),
    twin: { fact: 'a path that nobody asks for is', site: site({ backend: ['http-request deny if { path /x }'] }) },
  },
  {
    fault: 'the path is redirected',
    code: 'http/no-redirect',
    hop: 'proxy',
    line: /redirect/,
    site: site({ frontend: ['http-request redirect location /mcp/ code 301 if { path /mcp }'] }),
    twin: {
      fact: 'the start page is',
      site: site({ frontend: ['http-request redirect location /welcome if { path / }'] }),
    },
  },
  {
    fault: 'two replicas in turn',
    code: 'session/kept',
    hop: 'proxy',
    line: /2 servers/,
    site: site({ backend: ['balance roundrobin'], servers: both }),
    twin: { fact: 'two replicas, and a session stays with its own', site: site({ backend: sticky, servers: both }) },
  },
  {
    fault: 'bodies above 1 MB are refused',
    code: 'sizes/body',
    hop: 'proxy',
    line: /content-length/,
    site: site({ frontend: ['http-request deny deny_status 413 if { req.hdr_val(content-length) gt 1000000 }'] }),
    twin: {
      fact: '10 MB are let through',
      site: site({ frontend: ['http-request deny deny_status 413 if { req.hdr_val(content-length) gt 10000000 }'] }),
    },
  },
  {
    fault: 'connections are closed after every answer',
    code: 'http/keep-alive',
    hop: 'proxy',
    severity: 'warning',
    line: /option httpclose/,
    site: site({ defaults: [...patient, 'option httpclose'] }),
    twin: { fact: 'only those to the server are', site: site({ defaults: [...patient, 'option http-server-close'] }) },
  },
  {
    fault: 'silent streams are cut after five seconds',
    code: 'stream/idle',
    hop: 'proxy',
    line: /timeout server 5s/,
    upstream: 'silent',
    doctor: { patience: { idleWatchMs: 9_000 } },
    site: site({
      defaults: ['timeout client 1h', 'timeout server 5s', 'timeout connect 5s'],
      servers: ({ silent }) => [silent],
    }),
    twin: {
      fact: 'the same server with patience',
      upstream: 'silent',
      doctor: { patience: { idleWatchMs: 2_500 } },
      site: site({ servers: ({ silent }) => [silent] }),
    },
  },
  {
    fault: 'HAProxy waits for 50 seconds, as distributions set it',
    code: 'proxy/read-timeout',
    hop: 'proxy',
    severity: 'warning',
    line: /timeout client 50000/,
    site: site({ defaults: ['timeout client 50000', 'timeout server 1h', 'timeout connect 5s'] }),
    twin: {
      fact: 'five minutes in milliseconds',
      site: site({ defaults: ['timeout client 300000', 'timeout server 300s', 'timeout connect 5s'] }),
    },
  },
  {
    fault: 'TLS 1.1 is let in',
    code: 'tls/versions',
    hop: 'tls',
    severity: 'warning',
    line: /TLSv1\.0/,
    site: site({ bind: 'ssl-min-ver TLSv1.0 ciphers DEFAULT:@SECLEVEL=0' }),
    twin: { fact: 'TLS 1.3 alone', site: site({ bind: 'ssl-min-ver TLSv1.3' }) },
  },
  {
    fault: 'HTTP/2 is agreed on, and bytes are passed to a server that does not speak it',
    code: 'tls/alpn-kept',
    hop: 'tls',
    line: /alpn h2,http\/1\.1/,
    site: site({ bind: 'ssl-min-ver TLSv1.2 alpn h2,http/1.1', frontend: ['mode tcp'], backend: ['mode tcp'] }),
    twin: { fact: 'HAProxy speaks it itself', site: site({ bind: 'ssl-min-ver TLSv1.2 alpn h2,http/1.1' }) },
  },
  {
    fault: 'JSON errors are replaced by a page',
    code: 'http/errors-json',
    hop: 'proxy',
    severity: 'warning',
    line: /http-response return/,
    site: site({
      frontend: ['http-response return status 400 content-type text/html string "<h1>sorry</h1>" if { status 400 }'],
    }),
    twin: {
      fact: 'a 502 is',
      site: site({
        frontend: ['http-response return status 502 content-type text/html string "<h1>sorry</h1>" if { status 502 }'],
      }),
    },
  },
  {
    fault: 'Access-Control-Allow-Origin comes from both',
    code: 'cors/single-origin',
    hop: 'proxy',
    line: /Access-Control-Allow-Origin/,
    doctor: { pageOrigin: 'https://app.example.com' },
    site: site({ frontend: ['http-response add-header Access-Control-Allow-Origin https://app.example.com'] }),
    twin: {
      fact: 'the server alone sends it',
      doctor: { pageOrigin: 'https://app.example.com' },
      site: site({ frontend: ['http-response set-header X-Frame-Options DENY'] }),
    },
  },
];

/** HAProxy as it should be. */
export const healthyHaproxy = (which: keyof Backstage): SiteCase['site'] => site({ servers: (back) => [back[which]] });
