import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { renderTarget } from '../../src/targets/index.ts';
import { callHttp } from '../helpers/http-call.ts';
import { prepareProxiedSites, type ProxiedSites } from '../helpers/proxied-site.ts';
import { caddyEnv, freePorts, startCaddy, startNginx, type RunningProxy } from '../helpers/proxy-rig.ts';
import { targetInput } from '../helpers/target-input.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// Two deployments come into a proxy in which other people's sites are served already, on the same ports.

let rig: ProxiedSites;

beforeAll(async () => {
  rig = await prepareProxiedSites();
});

afterAll(() => rig.remove());

interface Ports {
  readonly https: number;
  readonly http: number;
}

interface Kind {
  readonly target: 'nginx' | 'caddy';
  readonly extension: string;
  /** Two sites of others, one that is read before ours and one after. */
  readonly foreign: (ports: Ports) => Readonly<Record<'a-first' | 'z-last', string>>;
  readonly start: (sites: string, folder: string, ports: readonly number[]) => Promise<RunningProxy>;
  readonly reload: (proxy: RunningProxy, folder: string) => void;
}

const kinds: readonly Kind[] = [
  {
    target: 'nginx',
    extension: 'conf',
    foreign: ({ https, http }) => ({
      'a-first': [
        'upstream backend { server 127.0.0.1:1; keepalive 3; }',
        'map $status $problem { default "theirs"; }',
        'log_format plain "$request";',
        `server { listen ${http}; server_name first.test; add_header X-Theirs "$problem"; location / { return 200 "first over http\\n"; } }`,
        `server { listen ${https} ssl; server_name first.test; ssl_certificate ${pem('certificate')}; ssl_certificate_key ${pem('key')}; error_page 404 /lost; location = /lost { internal; return 404 "their own 404\\n"; } location / { return 200 "first $uri\\n"; } location = /none { return 404; } }`,
        '',
      ].join('\n'),
      'z-last': `server { listen ${https} ssl; server_name last.test; ssl_certificate ${pem('certificate')}; ssl_certificate_key ${pem('key')}; location / { return 200 "last of $host\\n"; } }\n`,
    }),
    start: (sites, folder, ports) => startNginx(sites, folder, ports),
    reload: ({ pid }) => process.kill(pid, 'SIGHUP'),
  },
  {
    target: 'caddy',
    extension: 'caddyfile',
    foreign: ({ https, http }) => ({
      'a-first': `(headers) {\n\theader X-Theirs yes\n}\nhttp://first.test:${http} {\n\trespond "first over http"\n}\nhttps://first.test:${https} {\n\ttls ${pem('certificate')} ${pem('key')}\n\timport headers\n\trespond /none 404\n\trespond "first {path}"\n}\n`,
      'z-last': `https://last.test:${https} {\n\ttls ${pem('certificate')} ${pem('key')}\n\trespond "last of {host}"\n}\n`,
    }),
    start(sites, folder, ports) {
      const text = `{\n\tadmin unix/${join(folder, 'admin.sock')}\n\tskip_install_trust\n}\n\nimport ${sites}\n`;
      writeFileSync(join(folder, 'Caddyfile'), text);
      return startCaddy(sites, folder, ports, { keepMain: true });
    },
    reload(_proxy, folder) {
      const address = `unix/${join(folder, 'admin.sock')}`;
      const args = ['--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile', '--address', address];
      runTool('caddy', ['reload', ...args], { env: caddyEnv(folder) });
    },
  },
];

function pem(what: 'certificate' | 'key'): string {
  return join(rig.folder, what === 'key' ? 'server.key' : 'server.crt');
}

describe.each(kinds)('the neighbours in one $target', ({ target, extension, foreign, start, reload }) => {
  testWithTools([target], 'answer every byte as before, and both deployments have their own servers', async () => {
    const [https = 0, http = 0] = await freePorts(2);
    const own = mkdtempSync(join(rig.folder, `${target}-neighbours-`));
    const sites = join(own, 'sites');
    mkdirSync(sites);
    const theirs = Object.entries(foreign({ https, http })).map(([name, text]) => {
      const file = join(sites, `${name}.${extension}`);
      writeFileSync(file, text);
      return { file, text };
    });
    const get = (host: string, path: string, scheme: 'http' | 'https') =>
      callHttp({
        url: `${scheme}://mcp.test:${scheme === 'https' ? https : http}${path}`,
        headers: { host },
        connectTo: '127.0.0.1',
        ca: rig.caPem,
      });
    /** Everything that the neighbours say, but for the time of day. */
    const theirAnswers = async (): Promise<unknown[]> => {
      const answers = [];
      // The last name is nobody's: who is asked then must not change either.
      for (const host of ['first.test', 'last.test', 'nobody.test']) {
        for (const path of ['/', '/mcp', '/none', '/metrics', '/.well-known/oauth-protected-resource']) {
          for (const scheme of ['https', 'http'] as const) {
            const { status, rawHeaders, body } = await get(host, path, scheme);
            const timed = rawHeaders.findIndex((name) => name.toLowerCase() === 'date');
            answers.push([host, path, scheme, status, rawHeaders.filter((_, at) => at !== timed + 1), body]);
          }
        }
      }
      return answers;
    };

    const servers = await Promise.all(['mcp', 'tools'].map(async (name) => ({ name, server: await startNamed(name) })));
    const proxy = await start(join(sites, `*.${extension}`), own, [https, http]);
    try {
      const before = await theirAnswers();
      for (const { name, server } of servers) {
        const { port } = server.address() as AddressInfo;
        const input = targetInput(
          {
            version: 1,
            name,
            tls: { source: 'off' },
            server: { listen: `127.0.0.1:${port}` },
            proxy: {
              serverName: `${name}.test`,
              certificate: pem('certificate'),
              key: pem('key'),
              limit: { requestsPerSecond: 100, burst: 100 },
              servers: { a: `127.0.0.1:${port}`, b: `127.0.0.2:${port}` },
            },
          },
          { proxyPorts: { https, http } },
        );
        const [file] = renderTarget(target, { ...input, paths: { ...input.paths, proxyLogDir: own } });
        writeFileSync(join(sites, `${name}.${extension}`), file?.content ?? '');
        // Whatever it is: nothing of ours asks to be the one for names that nobody has.
        expect(file?.content).not.toMatch(/default_server|^\s*:[0-9]+ \{/m);
      }
      reload(proxy, own);
      for (const { name } of servers) {
        await waitUntil(
          async () => (await get(`${name}.test`, '/mcp', 'https').catch(() => null))?.body === `server of ${name}`,
          10_000,
          `the deployment ${name}`,
        );
      }
      expect(await theirAnswers()).toEqual(before);
      for (const { file, text } of theirs) expect(readFileSync(file, 'utf8')).toBe(text);
    } finally {
      await proxy.stop();
      for (const { server } of servers) server.close().closeAllConnections();
    }
  });
});

async function startNamed(name: string): Promise<Server> {
  const server = createServer((_request, response) => void response.end(`server of ${name}`));
  await new Promise<void>((resolve) => {
    server.listen(0, '0.0.0.0', resolve);
  });
  return server;
}
