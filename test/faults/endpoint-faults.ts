import type { DoctorOptions } from '../../src/doctor/run-doctor.ts';
import type { Hop, Severity } from '../../src/doctor/types.ts';
import { issueCertificate, issueSelfSigned, makeAuthority } from '../fixtures/mcp-servers/certificates.ts';
import { answerJson, type FixtureOptions } from '../fixtures/mcp-servers/fixture-server.ts';
import { ca, key } from './laboratory.ts';

/** A server with a fault, what doctor names first, and the healthy server next to it. */
export interface Fault {
  readonly fault: string;
  readonly code: string;
  readonly hop: Hop;
  readonly severity?: Severity;
  readonly server?: Partial<FixtureOptions>;
  readonly doctor?: Partial<DoctorOptions>;
  /** Turns the URL of the server into the one that is looked at. */
  readonly url?: (url: string) => string;
  readonly twin: {
    readonly fact: string;
    readonly server?: Partial<FixtureOptions>;
    readonly doctor?: Partial<DoctorOptions>;
    readonly url?: (url: string) => string;
  };
}

const intermediate = makeAuthority('Laboratory intermediate CA', ca);
const underIntermediate = issueCertificate(intermediate, ['localhost'], {
  issuerUrl: 'http://ca.example/intermediate.der',
});

const namedCertificate = issueCertificate(ca, ['mcp.test', 'localhost']);

type Intercept = NonNullable<FixtureOptions['intercept']>;

const html =
  (status: number, text: string): Intercept =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'text/html' }).end(text);
    return true;
  };

export const faults: readonly Fault[] = [
  {
    fault: 'the certificate is of a CA that was not given',
    code: 'tls/trusted',
    hop: 'tls',
    doctor: { caPem: makeAuthority('Another CA').certificatePem },
    twin: {
      fact: 'two CAs were given and one of them signed it',
      doctor: { caPem: makeAuthority('Another CA').certificatePem + ca.certificatePem },
    },
  },
  {
    fault: 'another CA of the same name was given',
    code: 'tls/trusted',
    hop: 'tls',
    doctor: { caPem: makeAuthority('Laboratory CA').certificatePem },
    twin: { fact: 'the CA that signed it' },
  },
  {
    fault: 'a self-signed certificate',
    code: 'tls/trusted',
    hop: 'tls',
    server: { certificate: issueSelfSigned(['localhost']) },
    twin: { fact: 'signed by the CA' },
  },
  {
    fault: 'the intermediate is not sent',
    code: 'tls/chain-complete',
    hop: 'tls',
    server: { certificate: underIntermediate },
    twin: {
      fact: 'the intermediate is sent',
      server: { certificate: underIntermediate, chainPem: intermediate.certificatePem },
    },
  },
  {
    fault: 'the certificate has expired',
    code: 'tls/not-expired',
    hop: 'tls',
    server: { certificate: issueCertificate(ca, ['localhost'], { from: -90, to: -0.01 }) },
    twin: {
      fact: 'the certificate lasts for another 22 days',
      server: { certificate: issueCertificate(ca, ['localhost'], { from: -68, to: 22 }) },
    },
  },
  {
    fault: 'the certificate is not valid yet',
    code: 'tls/not-yet-valid',
    hop: 'tls',
    server: { certificate: issueCertificate(ca, ['localhost'], { from: 0.01 }) },
    twin: {
      fact: 'the certificate became valid a minute ago',
      server: { certificate: issueCertificate(ca, ['localhost'], { from: -0.001 }) },
    },
  },
  {
    fault: 'the certificate is for another name',
    code: 'tls/name',
    hop: 'tls',
    server: { certificate: issueCertificate(ca, ['mcp.example.com', 'localhost.example.com']) },
    twin: {
      fact: 'the name is the last of several',
      server: { certificate: issueCertificate(ca, ['a.example', 'localhost']) },
    },
  },
  {
    fault: 'the URL has an address that is not in the certificate',
    code: 'tls/name',
    hop: 'tls',
    server: { certificate: issueCertificate(ca, ['localhost']) },
    url: (url) => url.replace('localhost', '127.0.0.1'),
    twin: { fact: 'the address is in the certificate', url: (url) => url.replace('localhost', '127.0.0.1') },
  },
  {
    fault: 'a quarter of a year ends in ten days',
    code: 'tls/expires-soon',
    hop: 'tls',
    severity: 'warning',
    server: { certificate: issueCertificate(ca, ['localhost'], { from: -80, to: 10 }) },
    twin: {
      fact: 'a certificate of six days with two left',
      server: { certificate: issueCertificate(ca, ['localhost'], { from: -4, to: 2 }) },
    },
  },
  {
    fault: 'HTTP/2 alone is offered in the handshake',
    code: 'tls/alpn',
    hop: 'tls',
    server: { alpn: ['h2'] },
    twin: { fact: 'HTTP/1.1 alone is', server: { alpn: ['http/1.1'] } },
  },
  {
    fault: 'HTTP/2 is offered for a server that does not speak it',
    code: 'tls/alpn-kept',
    hop: 'tls',
    server: { alpn: ['h2', 'http/1.1'] },
    twin: { fact: 'both are spoken', server: { http2: true } },
  },
  {
    fault: 'plain HTTP on the https port',
    code: 'tls/handshake',
    hop: 'tls',
    server: { certificate: null },
    url: (url) => url.replace('http:', 'https:'),
    twin: { fact: 'http:// on loopback', server: { certificate: null } },
  },
  {
    fault: 'the name has no address',
    code: 'name/resolves',
    hop: 'dns',
    url: (url) => url.replace('localhost', 'no-such-name.invalid'),
    twin: { fact: 'an address in place of a name', url: (url) => url.replace('localhost', '127.0.0.1') },
  },
  {
    fault: 'the server takes the request and never answers',
    code: 'http/answers',
    hop: 'server',
    server: { intercept: () => true },
    doctor: { patience: { answerMs: 1_500 } },
    twin: { fact: 'every answer takes a third of a second', server: { delayMs: 300 }, doctor: { limits: false } },
  },
  {
    fault: 'every path is redirected to a login',
    code: 'http/no-redirect',
    hop: 'proxy',
    server: {
      intercept: (_, response) => {
        response.writeHead(302, { location: 'https://login.example.com/sso?next=/mcp' }).end();
        return true;
      },
    },
    twin: {
      fact: 'another path is redirected',
      server: {
        intercept: (request, response) => {
          if (request.url !== '/') return false;
          response.writeHead(302, { location: '/welcome' }).end();
          return true;
        },
      },
    },
  },
  {
    fault: '/mcp is redirected to /mcp/',
    code: 'http/no-redirect',
    hop: 'proxy',
    server: {
      intercept: (request, response) => {
        if (request.url !== '/mcp') return false;
        response.writeHead(301, { location: '/mcp/' }).end();
        return true;
      },
    },
    twin: { fact: '/mcp answers' },
  },
  {
    fault: 'a login page with 200 answers everything',
    code: 'http/json-not-html',
    hop: 'proxy',
    server: { intercept: html(200, '<html><title>Sign in</title><form>Password</form></html>') },
    twin: {
      fact: 'a welcome page answers /',
      server: {
        intercept: (request, response, body) => request.url === '/' && html(200, 'hello')(request, response, body),
      },
    },
  },
  {
    fault: 'the proxy has nobody to pass it to',
    code: 'http/no-server-error',
    hop: 'proxy',
    server: { intercept: html(502, '<html><h1>502 Bad Gateway</h1><hr>nginx</html>') },
    twin: {
      fact: 'only an unknown path is answered with 502',
      server: {
        intercept: (request, response, body) => request.url === '/x' && html(502, '')(request, response, body),
      },
    },
  },
  {
    fault: 'another path than the endpoint',
    code: 'http/endpoint-found',
    hop: 'server',
    url: (url) => url.replace('/mcp', '/sse'),
    twin: { fact: 'the endpoint with a query', url: (url) => `${url}?a=b` },
  },
  {
    fault: 'a Host guard that does not know the name',
    code: 'http/host-allowed',
    hop: 'server',
    server: {
      intercept: (_, response) => {
        answerJson(response, 403, {
          jsonrpc: '2.0',
          id: null,
          error: { code: -32000, message: 'Invalid Host: localhost' },
        });
        return true;
      },
    },
    twin: { fact: 'a Host guard that knows it' },
  },
  {
    fault: 'a web application answers the OAuth paths with its start page',
    code: 'http/well-knowns-json',
    hop: 'proxy',
    server: {
      intercept: (request, response, body) =>
        (request.url ?? '').startsWith('/.well-known/') && html(200, '<html>app</html>')(request, response, body),
    },
    twin: {
      fact: 'a 404 page on the OAuth paths',
      server: {
        intercept: (request, response, body) =>
          (request.url ?? '').startsWith('/.well-known/') && html(404, '<html>404</html>')(request, response, body),
      },
    },
  },
  {
    fault: 'everyone is let in',
    code: 'key/none-refused',
    hop: 'server',
    server: { key: null },
    twin: { fact: 'a public server, and no key was given', server: { key: null }, doctor: { key: null } },
  },
  {
    fault: 'everyone is let in by a server of the legacy era',
    code: 'key/none-refused',
    hop: 'server',
    server: { key: null, eras: 'legacy' },
    twin: { fact: 'a server of the legacy era that checks keys', server: { eras: 'legacy' } },
  },
  {
    fault: 'any key is accepted',
    code: 'key/wrong-refused',
    hop: 'server',
    server: { key: null, intercept: (request, response) => refuseWithout(request.headers, response) },
    twin: { fact: 'the right key is accepted' },
  },
  {
    fault: 'the key is of another server',
    code: 'key/bearer',
    hop: 'server',
    doctor: { key: 'another-key' },
    twin: { fact: 'the key of this server', doctor: { key } },
  },
  {
    fault: 'the word Bearer is compared letter by letter',
    code: 'key/scheme-case',
    hop: 'server',
    severity: 'warning',
    server: {
      intercept: (request) => {
        if (request.headers.authorization?.startsWith('bearer ') === true) delete request.headers.authorization;
        return false;
      },
    },
    twin: { fact: 'the word in any letters' },
  },
  {
    fault: 'the key file holds "Bearer KEY"',
    code: 'key/well-formed',
    hop: 'client',
    doctor: { key: `Bearer ${key}` },
    twin: { fact: 'the key alone', doctor: { key } },
  },
  {
    fault: 'x-api-key is not read',
    code: 'key/x-api-key',
    hop: 'server',
    severity: 'warning',
    server: {
      intercept: (request) => {
        delete request.headers['x-api-key'];
        return false;
      },
    },
    twin: { fact: 'x-api-key is read' },
  },
  {
    fault: 'the 401 promises OAuth metadata that is not there',
    code: 'key/challenge',
    hop: 'server',
    server: { intercept: (request, response) => promiseMetadata(request.headers, response) },
    twin: {
      fact: 'the promised metadata is there',
      server: {
        intercept: (request, response) => {
          if (request.url !== '/.well-known/oauth-protected-resource')
            return promiseMetadata(request.headers, response);
          answerJson(response, 200, { resource: 'x', authorization_servers: ['https://as.example'] });
          return true;
        },
      },
    },
  },
  {
    fault: '500 on initialize',
    code: 'protocol/legacy',
    hop: 'server',
    server: { intercept: (_, response, body) => failOn('initialize', response, body) },
    twin: {
      fact: '500 on resources/list',
      server: { intercept: (_, response, body) => failOn('resources/list', response, body) },
    },
  },
  {
    fault: '500 on initialize of a server of the legacy era only',
    code: 'http/no-server-error',
    hop: 'server',
    server: { eras: 'legacy', intercept: (_, response, body) => failOn('initialize', response, body) },
    twin: { fact: 'a server of the legacy era only', server: { eras: 'legacy' } },
  },
  {
    fault: '500 on server/discover, which makes modern clients give up',
    code: 'protocol/modern',
    hop: 'server',
    server: { eras: 'legacy', intercept: (_, response, body) => failOn('server/discover', response, body) },
    twin: {
      fact: '404 on server/discover',
      server: {
        eras: 'legacy',
        intercept: (_, response, body) => {
          if (!body.includes('server/discover')) return false;
          answerJson(response, 404, { jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'Method not found' } });
          return true;
        },
      },
    },
  },
  {
    fault: 'a server of the modern era only',
    code: 'protocol/legacy',
    hop: 'server',
    severity: 'warning',
    server: { eras: 'modern' },
    twin: { fact: 'both eras' },
  },
  {
    fault: 'an unknown session is answered with 400',
    code: 'protocol/unknown-session',
    hop: 'server',
    server: {
      intercept: (request, response) => {
        if (request.url !== '/mcp') return false;
        const writeHead = response.writeHead.bind(response);
        // Its overloads differ in their second argument, which is passed on as it is.
        response.writeHead = (status: number, ...rest: never[]) => writeHead(status === 404 ? 400 : status, ...rest);
        return false;
      },
    },
    twin: { fact: 'with 404' },
  },
  {
    fault: 'tools/list fails',
    code: 'tools/list',
    hop: 'server',
    server: {
      intercept: (_, response, body) => {
        if (!body.includes('tools/list') || body.includes('"id":"doctor"')) return false;
        const { id } = JSON.parse(body) as { id: unknown };
        answerJson(response, 200, { jsonrpc: '2.0', id, error: { code: -32603, message: 'upstream is down' } });
        return true;
      },
    },
    twin: { fact: 'a server without tools', server: { noTools: true } },
  },
  {
    fault: 'the echo tool fails',
    code: 'tools/call',
    hop: 'server',
    server: {
      intercept: (_, response, body) => {
        if (!body.includes('"name":"echo"')) return false;
        const { id } = JSON.parse(body) as { id: unknown };
        answerJson(response, 200, { jsonrpc: '2.0', id, error: { code: -32603, message: 'child died' } });
        return true;
      },
    },
    twin: { fact: 'the echo tool answers' },
  },
  {
    fault: 'the head of the GET stream is held back',
    code: 'stream/first-event',
    hop: 'proxy',
    server: { intercept: (request) => request.method === 'GET' && request.url === '/mcp' },
    doctor: { patience: { streamHeadMs: 1_600 } },
    twin: {
      fact: 'no GET stream at all',
      server: {
        intercept: (request, response) => {
          if (request.method !== 'GET' || request.url !== '/mcp') return false;
          response.writeHead(405, { allow: 'POST' }).end();
          return true;
        },
      },
    },
  },
  {
    fault: 'a 429 without Retry-After',
    code: 'limits/retry-after',
    hop: 'server',
    server: { limitHeaders: ({ ratelimit }) => ({ ratelimit: ratelimit ?? '' }) },
    twin: {
      fact: 'a 429 with Retry-After and nothing else',
      server: { limitHeaders: ({ 'retry-after': after }) => ({ 'retry-after': after ?? '1' }) },
    },
  },
  {
    fault: 'no limit at all',
    code: 'limits/answers-429',
    hop: 'server',
    severity: 'warning',
    server: { limit: null },
    twin: { fact: 'no limit, and none may be tried', server: { limit: null }, doctor: { limits: false } },
  },
  {
    fault: 'the limit answers with 503',
    code: 'limits/answers-429',
    hop: 'proxy',
    server: {
      limit: null,
      intercept: (_, response, body) => {
        if (!body.includes('no-such-tool')) return false;
        response.writeHead(503, { 'content-type': 'text/html' }).end('<h1>503</h1>');
        return true;
      },
    },
    twin: { fact: 'the limit answers with 429' },
  },
  {
    fault: 'every refused call begins the time anew, and Retry-After says one second',
    code: 'limits/recovers',
    hop: 'server',
    severity: 'warning',
    server: {
      limit: { requests: 20, windowSeconds: 3, sliding: true },
      limitHeaders: (headers) => ({ ...headers, 'retry-after': '1' }),
    },
    twin: { fact: 'a window of one second that ends', server: { limit: { requests: 20, windowSeconds: 1 } } },
  },
  {
    fault: 'a page may not send DELETE',
    code: 'cors/methods',
    hop: 'server',
    severity: 'warning',
    server: { intercept: letPagesIn('GET, POST, OPTIONS') },
    twin: { fact: 'it may send what it likes', server: { intercept: letPagesIn('*') } },
  },
  {
    fault: 'nothing listens on the port',
    code: 'tcp/reachable',
    hop: 'tcp',
    url: (url) => url.replace(/:\d+/, ':1'),
    twin: { fact: 'the port on which it listens' },
  },
  {
    fault: 'the second address of the name leads nowhere',
    code: 'tcp/every-address',
    hop: 'tcp',
    severity: 'warning',
    server: { certificate: namedCertificate },
    url: (url) => url.replace('localhost', 'mcp.test'),
    doctor: { names: { 'mcp.test': ['127.0.0.1', '127.0.0.9'] } },
    twin: {
      fact: 'the name has one address',
      server: { certificate: namedCertificate },
      url: (url) => url.replace('localhost', 'mcp.test'),
      doctor: { names: { 'mcp.test': ['127.0.0.1'] } },
    },
  },
  {
    fault: 'http:// to a name that is not this machine, with a key',
    code: 'tls/encrypted',
    hop: 'client',
    server: { certificate: null },
    url: (url) => url.replace('localhost', 'mcp.test'),
    doctor: { names: { 'mcp.test': ['127.0.0.1'] } },
    twin: { fact: 'http:// on this machine', server: { certificate: null } },
  },
  {
    fault: 'a session id is taken for a key',
    code: 'session/key-required',
    hop: 'server',
    server: {
      intercept: ({ headers }) => {
        if (headers['mcp-session-id'] !== undefined) headers.authorization ??= `Bearer ${key}`;
        return false;
      },
    },
    twin: { fact: 'a session needs its key with every request' },
  },
  {
    fault: 'any Host name is answered on loopback',
    code: 'http/host-refused',
    hop: 'server',
    severity: 'warning',
    server: {
      certificate: null,
      intercept: ({ headers }) => {
        headers.host = 'localhost';
        return false;
      },
    },
    twin: { fact: 'only its own names are', server: { certificate: null } },
  },
  {
    fault: 'pages of any origin are answered',
    code: 'http/origin-refused',
    hop: 'server',
    severity: 'warning',
    server: {
      intercept: ({ headers }) => {
        delete headers.origin;
        return false;
      },
    },
    twin: { fact: 'only those of the server itself' },
  },
  {
    fault: 'the clock of the server is an hour behind',
    code: 'http/clock',
    hop: 'host',
    severity: 'warning',
    server: { intercept: dateFrom(3_600) },
    twin: { fact: 'it is twenty seconds behind', server: { intercept: dateFrom(20) } },
  },
  {
    fault: 'a body of a megabyte is refused with a page',
    code: 'sizes/body',
    hop: 'proxy',
    severity: 'warning',
    server: {
      intercept: (request, response, body) =>
        body.length > 1_000_000 && html(413, '<h1>413</h1>')(request, response, body),
    },
    twin: {
      fact: 'it is refused in JSON',
      server: {
        intercept: (_, response, body) => {
          if (body.length < 1_000_000) return false;
          answerJson(response, 413, { title: 'The body is too large' });
          return true;
        },
      },
    },
  },
];

function dateFrom(secondsAgo: number): Intercept {
  return (_, response) => {
    response.setHeader('date', new Date(Date.now() - secondsAgo * 1_000).toUTCString());
    return false;
  };
}

function refuseWithout(headers: Readonly<Record<string, unknown>>, response: Parameters<Intercept>[1]): boolean {
  if (headers['authorization'] !== undefined || headers['x-api-key'] !== undefined) return false;
  answerJson(response, 401, { error: 'invalid_request' }, { 'www-authenticate': 'Bearer' });
  return true;
}

function promiseMetadata(headers: Readonly<Record<string, unknown>>, response: Parameters<Intercept>[1]): boolean {
  if (headers['authorization'] !== undefined || headers['x-api-key'] !== undefined) return false;
  const url = new URL('/.well-known/oauth-protected-resource', `https://${String(headers['host'])}`).href;
  if (response.req.url !== '/mcp') return false;
  answerJson(response, 401, { error: 'invalid_request' }, { 'www-authenticate': `Bearer resource_metadata="${url}"` });
  return true;
}

/** Every page may call, and preflights name these methods. */
function letPagesIn(methods: string): Intercept {
  const headers = {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': methods,
    'access-control-allow-headers':
      'authorization, content-type, mcp-method, mcp-name, mcp-protocol-version, mcp-session-id',
    'access-control-expose-headers': 'mcp-session-id',
  };
  return (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (request.method === 'OPTIONS') {
      response.writeHead(204).end();
      return true;
    }
    // Let in on purpose, whoever it is.
    delete request.headers.origin;
    return false;
  };
}

function failOn(method: string, response: Parameters<Intercept>[1], body: string): boolean {
  if (!body.includes(`"method":"${method}"`)) return false;
  answerJson(response, 500, { title: 'Internal server error' });
  return true;
}
