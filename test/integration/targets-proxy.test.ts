import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { callHttp, openStream } from '../helpers/http-call.ts';
import {
  prepareProxiedSites,
  siteNames,
  type ProxiedSite,
  type ProxiedSites,
  type SiteChange,
} from '../helpers/proxied-site.ts';
import { expectProblem, expectSecurityHeaders } from '../helpers/expect-problem.ts';
import { startCaddy, startHaproxySite, startNginx } from '../helpers/proxy-rig.ts';
import { firstEvent } from '../helpers/showing-upstream.ts';
import { targetInput } from '../helpers/target-input.ts';
import { testWithTools, findProgram } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let rig: ProxiedSites;

beforeAll(async () => {
  rig = await prepareProxiedSites();
});

afterAll(() => rig.remove());

const proxies = [
  { target: 'nginx', start: startNginx },
  { target: 'caddy', start: startCaddy },
  { target: 'haproxy', start: startHaproxySite },
] as const;

describe.each(proxies)('$target in front of a server', ({ target, start }) => {
  const withSite = (run: (site: ProxiedSite) => Promise<void>, change: SiteChange = {}): Promise<void> =>
    rig.withSite(target, start, run, change);
  const local = { connectTo: '127.0.0.1' };
  const tls = () => ({ ...local, ca: rig.caPem });

  testWithTools([target], 'passes keys and MCP headers on and replaces what a client claims about itself', async () => {
    await withSite(async ({ url, upstream }) => {
      const answer = await callHttp({
        ...tls(),
        url: `${url}/mcp?trace=1`,
        method: 'POST',
        headers: {
          authorization: 'Bearer k',
          'x-api-key': 'k2',
          'mcp-session-id': 's',
          'mcp-protocol-version': '2026-07-28',
          'mcp-method': 'tools/call',
          'mcp-name': 'echo',
          'last-event-id': '7',
          'content-type': 'application/json',
          'x-forwarded-for': '203.0.113.9',
          'x-forwarded-proto': 'gopher',
          forwarded: 'for=203.0.113.9',
        },
        body: '{"a":1}',
      });
      expect(answer.status).toBe(200);
      const [seen] = upstream.seen;
      expect(seen).toMatchObject({ method: 'POST', url: '/mcp?trace=1', body: '{"a":1}' });
      expect(seen?.headers).toMatchObject({
        host: 'mcp.test',
        authorization: 'Bearer k',
        'x-api-key': 'k2',
        'mcp-session-id': 's',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call',
        'mcp-name': 'echo',
        'last-event-id': '7',
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-proto': 'https',
      });
      expect(seen?.headers.forwarded).toBeUndefined();
      expect(seen?.headers.connection).not.toBe('close');
    });
  });

  testWithTools(
    [target],
    'serves the path with and without the slash, for every method, without a redirect',
    async () => {
      await withSite(async ({ url, upstream }) => {
        for (const path of ['/mcp', '/mcp/']) {
          for (const method of ['POST', 'GET', 'DELETE', 'OPTIONS']) {
            const answer = await callHttp({
              ...tls(),
              url: url + path,
              method,
              ...(method === 'POST' ? { body: '{}' } : {}),
            });
            expect([path, method, answer.status]).toEqual([path, method, 200]);
          }
        }
        expect(new Set(upstream.seen.map(({ url }) => url))).toEqual(new Set(['/mcp']));
      });
    },
  );

  testWithTools(
    [target],
    'lets the first event of a stream through while the stream is silent afterwards',
    async () => {
      await withSite(async ({ url, upstream }) => {
        const stream = await openStream({
          ...tls(),
          url: `${url}/mcp`,
          headers: { accept: 'text/event-stream', 'accept-encoding': 'gzip' },
        });
        try {
          expect(stream.headers['content-type']).toBe('text/event-stream');
          expect(stream.headers['content-encoding']).toBeUndefined();
          // The server sends one short event and nothing more: a proxy that buffers never lets it out.
          await waitUntil(() => stream.received().length >= firstEvent.length, 10_000, 'the first event');
          expect(stream.received()).toBe(firstEvent);
          expect(upstream.streams.size).toBe(1);
        } finally {
          stream.close();
        }
        await waitUntil(() => upstream.streams.size === 0, 5_000, 'the server to learn that the client left');
      });
    },
  );

  testWithTools([target], 'sends plain HTTP to the same place by 308, which keeps a POST a POST', async () => {
    await withSite(async ({ url, plainUrl, upstream }) => {
      const answer = await callHttp({ ...local, url: `${plainUrl}/mcp?x=1`, method: 'POST', body: '{}' });
      expect(answer.status).toBe(308);
      expect(answer.headers.location).toBe(`${url}/mcp?x=1`);
      expect(upstream.seen).toEqual([]);
    });
  });

  testWithTools([target], 'answers its own errors as JSON problems with the security headers, each once', async () => {
    await withSite(async ({ url, upstream }) => {
      const unknown = await callHttp({ ...tls(), url: `${url}/.well-known/oauth-protected-resource/mcp` });
      expectProblem(unknown, 404, /\/mcp/);
      // Announced and not sent: who sends it all may meet a closed connection before the answer.
      const headers = { 'content-length': '1048577' };
      const announced = await callHttp({ ...tls(), url: `${url}/mcp`, method: 'POST', headers, body: '{' });
      expectProblem(announced, 413, /1 MB/);
      expect(upstream.seen).toEqual([]);
      const fits = await callHttp({ ...tls(), url: `${url}/mcp`, method: 'POST', body: Buffer.alloc(1_048_576, 0x20) });
      expect(fits.status).toBe(200);
    });
  });

  const refusesEndlessBodies = target === 'haproxy' ? 'leaves a body' : 'refuses a body';
  testWithTools(
    [target],
    `${refusesEndlessBodies} whose size is not announced ${target === 'haproxy' ? 'to the server' : 'with 413'}`,
    async () => {
      await withSite(async ({ url }) => {
        const answer = await callHttp({
          ...tls(),
          url: `${url}/mcp`,
          method: 'POST',
          headers: { 'transfer-encoding': 'chunked' },
          // Little more than the limit, so that the rest is read before the connection is closed.
          body: Buffer.alloc(1_048_576 + 150_000, 0x20),
        });
        // HAProxy passes on what it has not counted to the end; the limit of the server holds.
        if (target === 'haproxy') expect(answer.status).toBe(200);
        else expectProblem(answer, 413, /1 MB/);
      });
    },
  );

  // HAProxy has one word for a server that is away and one that is busy.
  const away = target === 'haproxy' ? 503 : 502;
  testWithTools([target], `answers ${away} as a JSON problem while the server is away`, async () => {
    await withSite(
      async ({ url }) => {
        expectProblem(
          await callHttp({ ...tls(), url: `${url}/mcp`, method: 'POST', body: '{}' }),
          away,
          /does not answer|not ready/,
        );
      },
      { upstream: 'none' },
    );
  });

  testWithTools([target], 'refuses a server whose certificate another authority signed', async () => {
    const other = await issuePrivateCa({ commonName: 'other CA', names: siteNames });
    const own = mkdtempSync(join(rig.folder, 'other-ca-'));
    writeFileSync(join(own, 'ca.crt'), other.certificatePem);
    await withSite(
      async ({ url, upstream }) => {
        const answer = await callHttp({ ...tls(), url: `${url}/mcp`, method: 'POST', body: '{}' });
        expect(answer.status).toBe(away);
        expect(upstream.seen.filter(({ url }) => url === '/mcp')).toEqual([]);
      },
      {
        deployment: () => ({
          tls: {
            source: 'files',
            certificate: join(rig.folder, 'server.crt'),
            key: join(rig.folder, 'server.key'),
          },
        }),
        input: { paths: { ...targetInput({ version: 1 }).paths, upstreamCaFile: join(own, 'ca.crt') } },
      },
    );
  });

  testWithTools([target], 'passes the server’s own errors on unchanged', async () => {
    await withSite(async ({ url }) => {
      const answer = await callHttp({
        ...tls(),
        url: `${url}/mcp`,
        method: 'POST',
        headers: { 'x-answer': '503' },
        body: '{}',
      });
      expect(answer.status).toBe(503);
      expect(answer.headers['retry-after']).toBe('30');
      expect(answer.body).toBe('{"own":"error"}');
      expectSecurityHeaders(answer.rawHeaders);
    });
  });

  testWithTools(
    [target],
    'keeps metrics to the machine itself; health, status and probes reach the server as proxied',
    async () => {
      const outside = Object.values(networkInterfaces())
        .flat()
        .find((address) => address?.family === 'IPv4' && !address.internal)?.address;
      await withSite(async ({ url, upstream }) => {
        const metrics = `${url}/metrics`;
        expect((await callHttp({ ...tls(), url: metrics })).status).toBe(200);
        // The server gives metrics to direct local callers only, so the proxy must not look like one that relays.
        expect(upstream.seen[0]?.headers).toMatchObject({ host: 'mcp.test' });
        for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
          expect([name, upstream.seen[0]?.headers[name]]).toEqual([name, undefined]);
        }
        const relayed = await callHttp({ ...tls(), url: metrics, headers: { 'x-forwarded-for': '127.0.0.1' } });
        expectProblem(relayed, 403, /not open to every address/);
        if (outside !== undefined) {
          expectProblem(
            await callHttp({ ca: rig.caPem, url: metrics, connectTo: outside }),
            403,
            /not open to every address/,
          );
        }
        for (const path of ['/health', '/livez', '/readyz', '/status']) {
          const connectTo = outside ?? '127.0.0.1';
          expect([path, (await callHttp({ ca: rig.caPem, url: url + path, connectTo })).status]).toEqual([path, 200]);
          // Without it the server would take a stranger for a local caller and show details.
          expect(upstream.seen.at(-1)).toMatchObject({ url: path, headers: { 'x-forwarded-for': connectTo } });
        }
      });
    },
  );

  testWithTools([target], 'writes an access log without keys and without queries', async () => {
    await withSite(async ({ url, accessLog }) => {
      await callHttp({
        ...tls(),
        url: `${url}/mcp?api_key=in-the-query`,
        method: 'POST',
        headers: { authorization: 'Bearer in-the-header', 'x-api-key': 'in-the-other-header' },
        body: '{}',
      });
      await waitUntil(() => readOr(accessLog).includes('\n'), 5_000, 'a line of the access log');
      const log = readFileSync(accessLog, 'utf8');
      expect(log).toContain('/mcp');
      expect(log).not.toMatch(/in-the/);
      expect(() => JSON.parse(log.split('\n')[0] ?? '') as unknown).not.toThrow();
    });
  });

  testWithTools([target], 'reaches a server on a Unix socket and one without TLS, and a path of its own', async () => {
    for (const upstream of ['unix', 'plain'] as const) {
      await withSite(
        async ({ url, upstream: server }) => {
          const answer = await callHttp({ ...tls(), url: `${url}/tools/v1`, method: 'POST', body: '{}' });
          expect([upstream, answer.status]).toEqual([upstream, 200]);
          expect(server.seen[0]?.url).toBe('/tools/v1');
          expect((await callHttp({ ...tls(), url: `${url}/mcp` })).status).toBe(404);
        },
        {
          upstream,
          deployment: (listen) => ({
            server: { listen, path: '/tools/v1', behindProxy: true },
          }),
        },
      );
    }
  });

  if (target !== 'caddy') {
    testWithTools([target], 'answers a flood from one address with 429 and Retry-After as JSON', async () => {
      await withSite(
        async ({ url }) => {
          const answers = await Promise.all(
            // HAProxy counts over ten seconds, so it lets more through at first.
            Array.from({ length: target === 'haproxy' ? 20 : 8 }, () =>
              callHttp({ ...tls(), url: `${url}/mcp`, method: 'POST', body: '{}' }),
            ),
          );
          const refused = answers.filter(({ status }) => status === 429);
          expect(refused.length).toBeGreaterThan(0);
          expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(3);
          for (const answer of refused) {
            expectProblem(answer, 429, /Too many requests/);
            expect(answer.headers['retry-after']).toBe('1');
          }
          // Who asks whether it lives is never told to wait.
          const health = await Promise.all(
            Array.from({ length: 20 }, () => callHttp({ ...tls(), url: `${url}/health` })),
          );
          expect(health.map(({ status }) => status)).toEqual(health.map(() => 200));
        },
        { proxy: { limit: { requestsPerSecond: 1, burst: 2 } } },
      );
    });
  }
});

test.skipIf(process.env['REQUIRE_TOOLS'] !== '1')(
  'nginx, Caddy and HAProxy are here when the tools are required',
  () => {
    expect(proxies.map(({ target }) => findProgram(target))).not.toContain(null);
  },
);

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
