import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { parseCertificates } from '../../src/pki/parse-certificates.ts';
import { issueRevocationList } from '../../src/pki/revocation-list.ts';
import { expectProblem } from '../helpers/expect-problem.ts';
import { callHttp } from '../helpers/http-call.ts';
import { prepareProxiedSites, type ProxiedSite, type ProxiedSites, type SiteChange } from '../helpers/proxied-site.ts';
import { startCaddy, startHaproxySite, startNginx } from '../helpers/proxy-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// Who is let in by the real proxies: by address, by certificate, by what a load balancer in front says.

type Pair = { readonly cert: string; readonly key: string };
let rig: ProxiedSites;
let clientCa = '';
let revoked = '';
let alice: Pair;
let bob: Pair;
let stranger: Pair;

beforeAll(async () => {
  rig = await prepareProxiedSites();
  const issue = async (ca: Parameters<typeof issueCertificate>[0]['ca'], commonName: string): Promise<Pair> => {
    const made = await issueCertificate({ ca, names: [], commonName, usages: ['clientAuth'], validDays: 30 });
    return { cert: made.certificatePem, key: made.keyPem };
  };
  const ca = await issuePrivateCa({ commonName: 'clients', names: ['clients.test'] });
  alice = await issue(ca, 'alice');
  bob = await issue(ca, 'bob');
  stranger = await issue(await issuePrivateCa({ commonName: 'others', names: ['clients.test'] }), 'mallory');
  const { serialNumber: serial } = parseCertificates(bob.cert)[0].x509;
  const list = await issueRevocationList({
    ca,
    revoked: [{ serial, revokedAt: new Date(), reason: 'key-compromise' }],
    number: 1,
    validDays: 7,
  });
  clientCa = join(rig.folder, 'clients.crt');
  revoked = join(rig.folder, 'clients.crl.pem');
  writeFileSync(clientCa, ca.certificatePem);
  writeFileSync(revoked, list);
});

afterAll(() => rig.remove());

const proxies = [
  { target: 'nginx', start: startNginx },
  { target: 'caddy', start: startCaddy },
  { target: 'haproxy', start: startHaproxySite },
] as const;

describe.each(proxies)('the doors of $target', ({ target, start }) => {
  const withSite = (run: (site: ProxiedSite) => Promise<void>, change: SiteChange): Promise<void> =>
    rig.withSite(target, start, run, change);
  const post = (url: string, more: Partial<Parameters<typeof callHttp>[0]> = {}) =>
    callHttp({ connectTo: '127.0.0.1', ca: rig.caPem, url, method: 'POST', body: '{}', ...more });

  testWithTools(
    [target],
    'let in who is on the list and refuse others with a JSON 403; health stays open',
    async () => {
      await withSite(
        async ({ url, upstream }) => {
          const from = (connectFrom: string, path = '/mcp') => post(url + path, { connectFrom });
          expect((await from('127.0.0.1')).status).toBe(200);
          expect((await from('127.0.0.1', '/message/')).status).toBe(200);
          // On the one list and on the other; on none.
          for (const address of ['127.0.0.2', '127.0.0.9']) {
            expectProblem(await from(address), 403, /not open to every address/);
            expectProblem(await from(address, '/message'), 403, /not open to every address/);
            expect((await from(address, '/healthz')).status).toBe(200);
            expect((await from(address, '/readyz')).status).toBe(200);
          }
          // A tool with a path of its own, which may be any text.
          expect((await from('127.0.0.1', '/tools/a%20b%2Fc?x=1')).status).toBe(200);
          expect((await from('127.0.0.1', '/tools')).status).toBe(200);
          expectProblem(await from('127.0.0.9', '/tools/echo'), 403, /not open to every address/);
          expectProblem(await from('127.0.0.1', '/toolsx'), 404, /Nothing is served here/);
          expect(upstream.seen.map(({ url }) => url).filter((path) => !path.endsWith('z'))).toEqual([
            '/mcp',
            '/message',
            '/tools/a%20b%2Fc?x=1',
            '/tools',
          ]);
          // The networks of the metrics are others than those of the endpoint.
          expect((await from('127.0.0.9', '/metrics')).status).toBe(200);
          expectProblem(await from('127.0.0.1', '/metrics'), 403, /not open/);
        },
        {
          deployment: (listen) => ({
            server: { listen, aliases: ['/message'], toolPath: '/tools', health: { path: '/healthz' } },
          }),
          proxy: { allowFrom: ['127.0.0.0/29'], denyFrom: ['127.0.0.2'], metricsFrom: ['127.0.0.8/30'] },
        },
      );
    },
  );

  testWithTools(
    [target],
    'pass the page for people on with its policy and no other, where the server has one',
    async () => {
      const ask = (url: string) =>
        callHttp({ connectTo: '127.0.0.1', ca: rig.caPem, url: `${url}/`, headers: { accept: 'text/html' } });
      await withSite(
        async ({ url }) => {
          const { status, rawHeaders } = await ask(url);
          expect(status).toBe(200);
          const policies = rawHeaders.filter(
            (_value, at) => rawHeaders[at - 1]?.toLowerCase() === 'content-security-policy' && at % 2 === 1,
          );
          expect(policies).toEqual(["default-src 'none'; script-src 'sha256-x'"]);
        },
        { deployment: (listen) => ({ server: { listen, page: true } }) },
      );
      await withSite(async ({ url }) => expectProblem(await ask(url), 404, /Nothing is served here/), {});
    },
  );

  testWithTools([target], 'serve no metrics where nobody may read them', async () => {
    await withSite(async ({ url }) => expectProblem(await post(`${url}/metrics`), 404, /Nothing is served here/), {
      proxy: { metricsFrom: [] },
    });
  });

  testWithTools(
    [target],
    'ask for a certificate, tell the server whose it is, and believe nobody else about that',
    async () => {
      await withSite(
        async ({ url, upstream }) => {
          expectProblem(await post(`${url}/mcp`), 403, /client certificate/);
          expect((await post(`${url}/health`, { headers: { 'x-client-subject': 'CN=root' } })).status).toBe(200);
          expect(upstream.seen.at(-1)?.headers['x-client-subject'] ?? '').toBe('');
          const shown = await post(`${url}/mcp`, { shows: alice, headers: { 'x-client-subject': 'CN=root' } });
          expect(shown.status).toBe(200);
          expect(upstream.seen.at(-1)?.headers['x-client-subject']).toMatch(/^CN=alice$/);
          const before = upstream.seen.length;
          const refused = await post(`${url}/mcp`, { shows: stranger }).then(({ status }) => status, String);
          expect(refused).not.toBe(200);
          if (target !== 'caddy') {
            const late = await post(`${url}/mcp`, { shows: bob }).then(({ status }) => status, String);
            expect(late).not.toBe(200);
          }
          expect(upstream.seen.length).toBe(before);
        },
        { proxy: { clientCa, ...(target === 'caddy' ? {} : { revokedClients: revoked }) } },
      );
    },
  );

  testWithTools([target], 'speak TLS 1.3 alone with the modern profile, and 1.2 too with the other', async () => {
    const handshake = (port: number): Promise<string> =>
      new Promise((resolve) => {
        const socket = connectTls(
          { host: '127.0.0.1', port, servername: 'mcp.test', ca: rig.caPem, maxVersion: 'TLSv1.2' },
          () => {
            resolve(socket.getProtocol() ?? 'none');
            socket.destroy();
          },
        );
        socket.once('error', () => resolve('refused'));
      });
    const port = ({ url }: ProxiedSite): number => Number(new URL(url).port);
    await withSite(
      async (site) => {
        expect(await handshake(port(site))).toBe('refused');
        expect((await post(`${site.url}/mcp`)).status).toBe(200);
      },
      { proxy: { tlsProfile: 'modern' } },
    );
    await withSite(async (site) => expect(await handshake(port(site))).toBe('TLSv1.2'), { proxy: {} });
  });

  // Debian's Caddy is older than its PROXY protocol.
  if (target === 'caddy') return;

  testWithTools([target], 'take the address of a client from a load balancer, and from nobody else', async () => {
    await withSite(
      async ({ url, upstream }) => {
        const port = Number(new URL(url).port);
        const { status } = await callBehindBalancer(
          port,
          '127.0.0.1',
          'PROXY TCP4 203.0.113.7 127.0.0.1 40000 443\r\n',
        );
        expect(status).toBe(200);
        expect(upstream.seen.at(-1)?.headers['x-forwarded-for']).toBe('203.0.113.7');
        await callBehindBalancer(port, '127.0.0.2', 'PROXY TCP4 203.0.113.9 127.0.0.1 40000 443\r\n').catch(() => null);
        expect(upstream.seen.map(({ headers }) => headers['x-forwarded-for'])).not.toContain('203.0.113.9');
      },
      { proxy: { proxyProtocolFrom: ['127.0.0.1'] } },
    );
  });

  async function callBehindBalancer(port: number, from: string, header: string): Promise<{ status: number }> {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from });
    socket.write(header);
    const tls = connectTls({ socket, servername: 'mcp.test', ca: rig.caPem });
    return new Promise((resolve, reject) => {
      tls.once('error', reject);
      tls.once('close', () => reject(new Error('closed')));
      const headers = { host: `mcp.test:${port}`, 'content-length': '2' };
      request({ createConnection: () => tls, method: 'POST', path: '/mcp', headers }, (response) => {
        response.resume().on('end', () => {
          resolve({ status: response.statusCode ?? 0 });
          tls.destroy();
        });
      })
        .on('error', reject)
        .end('{}');
    });
  }
});

testWithTools(['haproxy'], 'HAProxy tells a server that wants it the address by the PROXY protocol', async () => {
  let first = Buffer.alloc(0);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk) => {
      first = chunk;
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  try {
    await rig.withSite(
      'haproxy',
      startHaproxySite,
      async ({ url }) => {
        await callHttp({ connectTo: '127.0.0.1', connectFrom: '127.0.0.5', ca: rig.caPem, url: `${url}/mcp` });
        await waitUntil(() => first.length > 0, 5_000, 'a connection');
        expect(first.subarray(0, 12).toString('latin1')).toBe('\r\n\r\n\0\r\nQUIT\n');
        // After version, family and length: the source address.
        expect([...first.subarray(16, 20)]).toEqual([127, 0, 0, 5]);
      },
      {
        upstream: 'plain',
        deployment: () => ({
          server: {
            listen: `127.0.0.1:${(server.address() as AddressInfo).port}`,
            proxyProtocol: 'required',
            trustedProxies: ['loopback'],
          },
        }),
      },
    );
  } finally {
    server.close();
  }
});
