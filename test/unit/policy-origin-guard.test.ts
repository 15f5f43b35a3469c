import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { createOriginGuard } from '../../src/server/policy/origin-guard.ts';

const allowedHosts = ['localhost', 'MCP.example.com', '127.0.0.1', '::1', '*.apps.example.org', 'other.example:8443'];
const guard = createOriginGuard({
  allowedHosts,
  allowedOrigins: ['https://App.example.com', 'http://localhost:5173/'],
});

describe('Host', () => {
  test.each([
    'localhost',
    'localhost:8443',
    'LOCALHOST:1',
    'localhost.',
    'localhost.:443',
    'mcp.example.com',
    'Mcp.Example.Com:443',
    '127.0.0.1:8080',
    '[::1]',
    '[::1]:8443',
    '[0:0:0:0:0:0:0:1]:8443',
    'a.apps.example.org',
    'other.example',
    'other.example:9',
  ])('%s is ours', (host) => {
    expect(guard.refuses(host, undefined)).toBeNull();
    expect(guard.refuses(host, undefined)).toBeNull();
  });

  test.each([
    'evil.example',
    'localhost.evil.example',
    'mcp.example.com.evil.example',
    'xmcp.example.com',
    'example.com',
    'apps.example.org',
    'a.b.apps.example.org',
    '127.0.0.2',
    '[::2]:8443',
    '[fe80::1]',
    '169.254.169.254',
    '__proto__',
    'constructor',
  ])('%s is refused with 403', (host) => {
    expect(guard.refuses(host, undefined)).toMatchObject({
      status: 403,
      message: expect.stringContaining('allowedHosts'),
    });
  });

  test.each([
    'localhost@evil.example',
    'evil.example/localhost',
    'localhost, evil.example',
    'localhost evil.example',
    'localhost:',
    'localhost:99999999',
    'localhost:80:80',
    '[::1',
    '[::1]x',
    '[localhost]',
    '[fe80::1%25eth0]',
    '.localhost',
    'a..b',
    'loc\u0000alhost',
    'löcalhost',
    'x'.repeat(300),
  ])('%j is refused with 400', (host) => {
    expect(guard.refuses(host, undefined)).toMatchObject({ status: 400 });
  });

  test('a missing or empty Host is refused with 400, also after a good one', () => {
    guard.refuses('localhost', undefined);
    expect(guard.refuses(undefined, undefined)).toMatchObject({ status: 400, message: 'The Host header is missing.' });
    expect(guard.refuses('', undefined)).toMatchObject({ status: 400 });
  });

  test('a good Host remembered does not let the next bad one in', () => {
    guard.refuses('localhost:8443', undefined);
    expect(guard.refuses('evil.example:8443', undefined)?.status).toBe(403);
    expect(guard.refuses('localhost:8443', undefined)).toBeNull();
  });

  test('with * any name is ours, and garbage still is not', () => {
    const open = createOriginGuard({ allowedHosts: ['*'], allowedOrigins: [] });
    expect(open.refuses('anything.example:1', undefined)).toBeNull();
    expect(open.refuses('a b', undefined)?.status).toBe(400);
  });

  test('without any allowed host nothing is ours', () => {
    expect(createOriginGuard({ allowedHosts: [], allowedOrigins: [] }).refuses('localhost', undefined)?.status).toBe(
      403,
    );
  });
});

describe('Origin', () => {
  test.each([undefined, 'https://app.example.com', 'https://APP.example.com', 'http://localhost:5173'])(
    '%s may call',
    (origin) => {
      expect(guard.refuses('localhost', origin)).toBeNull();
    },
  );

  test.each([
    'null',
    '',
    'https://evil.example',
    'http://app.example.com',
    'https://app.example.com:444',
    'https://app.example.com.evil.example',
    'https://app.example.com/',
    'http://localhost',
    'http://localhost:8443',
    'https://localhost:8443',
    '*',
    '__proto__',
  ])('%j is refused with 403', (origin) => {
    expect(guard.refuses('localhost', origin)).toMatchObject({
      status: 403,
      message: expect.stringContaining('allowedOrigins'),
    });
    expect(guard.corsHeaders(origin)).toEqual(['Vary', 'Origin']);
    expect(guard.preflight(origin, undefined)).toBeNull();
  });

  test.each([
    ['127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ['LOCALHOST:8443', 'https://localhost:8443'],
    ['mcp.example.com', 'https://mcp.example.com'],
    ['a.apps.example.org', 'https://a.apps.example.org'],
    ['[::1]:8443', 'https://[::1]:8443'],
  ])('a page of %s itself may call it', (host, origin) => {
    expect(guard.refuses(host, origin)).toBeNull();
    // The browser needs no leave for a page of the same origin.
    expect(guard.corsHeaders(origin)).toEqual(['Vary', 'Origin']);
  });

  test.each([
    ['localhost:8443', 'https://localhost:8444'],
    ['localhost:8443', 'https://127.0.0.1:8443'],
    ['localhost:8443', 'ftp://localhost:8443'],
    ['mcp.example.com', 'http://mcp.example.com'],
    ['mcp.example.com', 'https://mcp.example.com.evil.example'],
  ])('towards %s, a page of %s is another one', (host, origin) => {
    expect(guard.refuses(host, origin)?.status).toBe(403);
  });

  test('where any Host is accepted, a page that brought its own name along is not ours', () => {
    const open = createOriginGuard({ allowedHosts: ['*', 'localhost'], allowedOrigins: [] });
    expect(open.refuses('evil.example:8443', 'http://evil.example:8443')?.status).toBe(403);
    expect(open.refuses('localhost:8443', 'http://localhost:8443')).toBeNull();
  });

  test('the message quotes nothing that the page sent', () => {
    expect(guard.refuses('localhost', 'https://evil.example')?.message).not.toContain('evil');
  });

  test.each(['null', 'app.example.com', 'https://app.example.com/path', 'https://u:p@app.example.com', 'https://', ''])(
    '%j cannot be configured as an origin',
    (entry) => {
      expect(() => createOriginGuard({ allowedHosts: [], allowedOrigins: [entry] })).toThrow(UserError);
    },
  );

  test.each(['https://example.com', 'a b', '', 'x/y', '*.'])('%j cannot be configured as a host', (entry) => {
    expect(() => createOriginGuard({ allowedHosts: [entry], allowedOrigins: [] })).toThrow(UserError);
  });

  test('the port of the scheme itself may be written out in the configuration', () => {
    const written = createOriginGuard({ allowedHosts: ['h'], allowedOrigins: ['https://a.example:443', 'app://b'] });
    expect(written.refuses('h', 'https://a.example')).toBeNull();
    expect(written.refuses('h', 'app://b')).toBeNull();
  });
});

describe('what a page may do', () => {
  test('answers to an allowed origin name it, expose the session id and never allow credentials', () => {
    const headers = guard.corsHeaders('https://app.example.com');
    expect(headers.slice(0, 2)).toEqual(['Access-Control-Allow-Origin', 'https://app.example.com']);
    expect(headers.slice(-2)).toEqual(['Vary', 'Origin']);
    expect(headers[3]?.split(', ')).toEqual(
      expect.arrayContaining([
        'mcp-session-id',
        'mcp-protocol-version',
        'www-authenticate',
        'retry-after',
        'ratelimit',
        'ratelimit-policy',
        'x-request-id',
      ]),
    );
    expect(JSON.stringify([headers, guard.preflight('https://app.example.com', undefined)])).not.toContain(
      'credentials',
    );
  });

  test('without an Origin only Vary is said, and nothing where no origin is allowed or every one', () => {
    expect(guard.corsHeaders(undefined)).toEqual(['Vary', 'Origin']);
    expect(guard.preflight(undefined, undefined)).toBeNull();
    for (const allowedOrigins of [[], ['*']]) {
      expect(createOriginGuard({ allowedHosts: [], allowedOrigins }).corsHeaders(undefined)).toEqual([]);
    }
  });

  test('further headers and the age of a preflight are settings', () => {
    const own = createOriginGuard({
      allowedHosts: ['h'],
      allowedOrigins: ['https://a.example'],
      cors: { allowHeaders: ['X-Session-ID', 'Accept'], exposeHeaders: ['X-Cost'], maxAgeSeconds: 60 },
    });
    const preflight = own.preflight('https://a.example', undefined);
    expect(preflight?.['access-control-allow-headers']).toMatch(/^accept, .*, x-session-id$/);
    expect(preflight?.['access-control-max-age']).toBe('60');
    expect(own.corsHeaders('https://a.example')[3]).toMatch(/, x-cost$/);
  });

  test('with * every page is answered with *, and still without credentials', () => {
    const open = createOriginGuard({ allowedHosts: ['h'], allowedOrigins: ['*'] });
    for (const origin of ['https://any.example', 'null']) {
      expect(open.refuses('h', origin)).toBeNull();
      expect(open.corsHeaders(origin).slice(0, 2)).toEqual(['Access-Control-Allow-Origin', '*']);
      expect(open.corsHeaders(origin)).not.toContain('Vary');
      expect(open.preflight(origin, undefined)).toMatchObject({ 'access-control-allow-origin': '*' });
      expect(JSON.stringify([open.corsHeaders(origin), open.preflight(origin, 'x')])).not.toContain('credentials');
    }
  });

  test('a preflight allows every header and method that both eras need', () => {
    const headers = guard.preflight('http://localhost:5173', 'content-type,mcp-method');
    expect(headers?.['access-control-allow-methods']).toBe('GET, POST, DELETE, OPTIONS');
    expect(headers?.['access-control-allow-headers']?.split(', ')).toEqual(
      expect.arrayContaining([
        'authorization',
        'content-type',
        'last-event-id',
        'mcp-method',
        'mcp-name',
        'mcp-protocol-version',
        'mcp-session-id',
        'x-api-key',
      ]),
    );
    expect(headers).toMatchObject({
      'access-control-max-age': '86400',
      vary: 'Origin, Access-Control-Request-Headers',
    });
  });

  test('parameter headers are allowed by name, anything else that was asked for is not echoed', () => {
    const asked = 'Mcp-Param-Region, x-evil, mcp-param-a\r\nX-Injected: 1, mcp-param-';
    const allowed = guard.preflight('https://app.example.com', asked)?.['access-control-allow-headers'] ?? '';
    expect(allowed).toMatch(/, mcp-param-region$/);
    expect(allowed).not.toMatch(/evil|injected|[\r\n]/i);
  });
});
