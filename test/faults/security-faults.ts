import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { issueCertificate as issueFrom } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { issueCertificate } from '../fixtures/mcp-servers/certificates.ts';
import { answerJson, type FixtureOptions } from '../fixtures/mcp-servers/fixture-server.ts';
import type { Fault } from './endpoint-faults.ts';
import { ca, key } from './laboratory.ts';

type Intercept = NonNullable<FixtureOptions['intercept']>;

/** A name that is not this machine's own, so that doctor asks as a stranger does. */
const named = {
  server: { certificate: issueCertificate(ca, ['mcp.test', 'localhost']) },
  doctor: { names: { 'mcp.test': ['127.0.0.1'] } },
  url: (url: string) => url.replace('localhost', 'mcp.test'),
};

const page =
  (status: number, text: string, headers: Record<string, string> = {}): Intercept =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'text/html; charset=UTF-8', ...headers }).end(text);
    return true;
  };

const metricsText = '# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n';

const labNames = ['localhost', '127.0.0.1'];
const oldCa = await issuePrivateCa({ commonName: 'Old CA', names: labNames, addressesConstrained: true });
const newCa = await issuePrivateCa({ commonName: 'New CA', names: labNames, addressesConstrained: false });
const underOld = await issueFrom({ ca: oldCa, names: labNames, validDays: 90 });
const underNew = await issueFrom({ ca: newCa, names: labNames, validDays: 90 });

/** Who is let in, who answers, and what strangers get to see. */
export const securityFaults: readonly Fault[] = [
  {
    fault: 'a CA as early versions made it, for names and addresses',
    code: 'tls/ca-constraints',
    hop: 'tls',
    server: { certificate: underOld },
    doctor: { caPem: oldCa.certificatePem },
    twin: {
      fact: 'a CA that constrains names only',
      server: { certificate: underNew },
      doctor: { caPem: newCa.certificatePem },
    },
  },
  {
    fault: 'the challenge page of a CDN',
    code: 'http/not-challenged',
    hop: 'proxy',
    server: {
      intercept: page(403, '<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>', {
        server: 'cloudflare',
        'cf-mitigated': 'challenge',
      }),
    },
    twin: {
      fact: 'a tool whose answer speaks of one',
      server: {
        intercept: (_, response) => {
          response.setHeader('x-note', 'challenges.cloudflare.com');
          return false;
        },
      },
    },
  },
  {
    fault: 'a firewall that wants a captcha, told by its header alone',
    code: 'http/not-challenged',
    hop: 'proxy',
    server: {
      intercept: page(405, '<html><body>Human verification</body></html>', { 'x-amzn-waf-action': 'captcha' }),
    },
    twin: { fact: 'a CDN that lets everything through', server: { intercept: withHeader('server', 'cloudflare') } },
  },
  {
    fault: 'only callers without a key are challenged',
    code: 'http/not-challenged',
    hop: 'proxy',
    server: {
      intercept: (request, response, body) =>
        request.headers.authorization === undefined &&
        request.headers['x-api-key'] === undefined &&
        page(503, '<script src="/cdn-cgi/challenge-platform/h/b/orchestrate"></script>')(request, response, body),
    },
    twin: { fact: 'a JSON 401 for them' },
  },
  {
    fault: 'a parking page with a good certificate',
    code: 'http/not-parked',
    hop: 'dns',
    server: { intercept: page(200, '<html><body>This domain is for sale. Buy this domain</body></html>') },
    twin: { fact: 'the server that belongs there' },
  },
  {
    fault: 'a sign-in of a known product, by redirect',
    code: 'http/no-redirect',
    hop: 'proxy',
    server: { intercept: page(302, '', { location: 'https://team.cloudflareaccess.com/cdn-cgi/access/login/x' }) },
    twin: { fact: 'the product lets the path through' },
  },
  {
    fault: 'everyone under the public name reads the metrics',
    code: 'health/metrics-private',
    hop: 'server',
    severity: 'warning',
    url: named.url,
    doctor: named.doctor,
    server: { ...named.server, intercept: onMetrics((response) => void response.end(metricsText)) },
    twin: {
      fact: 'an application that answers every path with its page',
      url: named.url,
      doctor: named.doctor,
      server: {
        ...named.server,
        intercept: (request, response, body) =>
          request.url === '/metrics' && page(200, '<html># TYPE is a word here</html>')(request, response, body),
      },
    },
  },
  {
    fault: 'the same with an older type of the format',
    code: 'health/metrics-private',
    hop: 'server',
    severity: 'warning',
    url: named.url,
    doctor: named.doctor,
    server: {
      ...named.server,
      intercept: onMetrics((response) => void response.end('# TYPE go_threads gauge\ngo_threads 9\n')),
    },
    twin: {
      fact: 'they are read on the machine itself',
      server: { intercept: onMetrics((response) => void response.end(metricsText)) },
    },
  },
  {
    fault: 'a session answers whoever has any key',
    code: 'session/foreign-key',
    hop: 'server',
    server: {
      intercept: ({ headers }) => {
        if (headers['mcp-session-id'] !== undefined && headers.authorization !== undefined) {
          headers.authorization = `Bearer ${key}`;
        }
        return false;
      },
    },
    twin: { fact: 'the session and another key are refused together' },
  },
  {
    fault: 'a session answers the second good key',
    code: 'session/foreign-key',
    hop: 'server',
    doctor: { otherKey: 'second-key-0123456789abcdef' },
    server: { intercept: takeSecond('second-key-0123456789abcdef') },
    twin: {
      fact: 'each session knows its key',
      doctor: { otherKey: 'second-key-0123456789abcdef' },
      server: { intercept: takeSecond('second-key-0123456789abcdef', true) },
    },
  },
  {
    fault: 'one count for all keys',
    code: 'limits/other-key',
    hop: 'server',
    severity: 'warning',
    server: {
      limit: { requests: 30, windowSeconds: 60, shared: true },
      intercept: takeSecond('second-key-0123456789abcdef', true),
    },
    doctor: { otherKey: 'second-key-0123456789abcdef' },
    twin: {
      fact: 'a count for each key',
      server: { intercept: takeSecond('second-key-0123456789abcdef', true) },
      doctor: { otherKey: 'second-key-0123456789abcdef' },
    },
  },
  {
    fault: 'one transport of the SDK for all clients',
    code: 'session/parallel',
    hop: 'server',
    server: { eras: 'legacy', intercept: oneTransport() },
    twin: { fact: 'a transport for each', server: { eras: 'legacy' } },
  },
];

function withHeader(name: string, value: string): Intercept {
  return (_, response) => {
    response.setHeader(name, value);
    return false;
  };
}

function onMetrics(answer: (response: Parameters<Intercept>[1]) => void): Intercept {
  return (request, response) => {
    if (request.url !== '/metrics') return false;
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' });
    answer(response);
    return true;
  };
}

/** Lets a second key in as if it were the first; with `bound` only outside of sessions. */
function takeSecond(second: string, bound = false): Intercept {
  return ({ headers }, response) => {
    if (headers.authorization !== `Bearer ${second}`) return false;
    if (bound && headers['mcp-session-id'] !== undefined) {
      answerJson(response, 404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } });
      return true;
    }
    headers.authorization = `Bearer ${key}`;
    return false;
  };
}

/** The commonest mistake with the SDK 1.x: a transport is made once, and who comes second is told that it has begun already. */
function oneTransport(): Intercept {
  let transport: StreamableHTTPServerTransport | null = null;
  const handle = async (...[request, response, body]: Parameters<Intercept>): Promise<void> => {
    if (transport === null) {
      transport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => randomUUID() });
      await new McpServer({ name: 'one', version: '1.0.0' }, { capabilities: { tools: {} } }).connect(transport);
    }
    await transport.handleRequest(request, response, parse(body));
  };
  return (request, response, body) => {
    if (request.url !== '/mcp' || request.method !== 'POST' || request.headers.origin !== undefined) return false;
    if (request.headers.authorization !== `Bearer ${key}` && request.headers['x-api-key'] !== key) return false;
    if (!body.includes('"initialize"') && request.headers['mcp-session-id'] === undefined) return false;
    void handle(request, response, body);
    return true;
  };
}

function parse(body: string): Record<string, unknown> {
  try {
    return (JSON.parse(body) as Record<string, unknown> | null) ?? {};
  } catch {
    return {};
  }
}
