// Who takes part: how each is started, on which URL it answers, and with what it is fairly compared.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, makeCertificate } from './local.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const server = join(here, '../dist/server/serve.js');
const echo = join(here, 'servers/echo-stdio.mjs');
const peers = join(here, 'peers');

/**
 * `base`: the row that the ratio is taken against. `sessions`: how many idle ones
 * are opened to see what they hold; 0 for none. Every server of ours has its policies on.
 */
export async function contestants({ folder, quick }) {
  const key = randomBytes(32).toString('base64url');
  const [certFile, tlsKeyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  makeCertificate(certFile, tlsKeyFile);
  const withKey = { authorization: `Bearer ${key}` };

  const bare = await at('http', (port) => ({ name: 'bare node:http', args: [join(here, 'servers/bare.mjs'), port] }));
  const bareTls = await at('https', (port) => ({
    name: 'bare node:https',
    args: [join(here, 'servers/bare.mjs'), port, certFile, tlsKeyFile],
    base: 'bare node:https',
  }));
  const ours = async (name, scheme, more, extra = {}) =>
    at(scheme, (port) => {
      const config = join(folder, `${port}.json`);
      writeFileSync(
        config,
        JSON.stringify({
          baseDir: folder,
          keyStoreFile: null,
          deployment: {
            version: 1,
            server: { listen: `127.0.0.1:${port}`, ...more.server },
            tls: scheme === 'https' ? { source: 'files', certificate: certFile, key: tlsKeyFile } : { source: 'off' },
            limits: { perKey: { requests: 100_000_000, windowSeconds: 1, burst: 100_000_000 } },
            logs: { level: 'info', audit: join(folder, `${port}.audit.jsonl`) },
          },
        }),
      );
      return {
        name,
        args: [server, '--config', config],
        env: { MCP_API_KEY: key },
        headers: withKey,
        sessions: 1_000,
        isOurs: true,
        base: scheme === 'https' ? 'bare node:https' : 'bare node:http',
        ...extra,
      };
    });
  // A tool that computes for a millisecond leaves the load generator little to do, so that both cores are the workers'.
  const computing = {
    tools: {
      echo: {
        description: 'computes for a millisecond',
        inputSchema: { type: 'object', properties: { message: { type: 'string' } } },
        module: { path: join(here, 'servers/computing-tool.mjs') },
      },
    },
  };
  const child = { server: { upstreams: { echo: { command: process.execPath, args: [echo] } } } };
  const all = [
    bare,
    bareTls,
    await ours('ours, built-in tool, legacy', 'http', {}),
    await ours('ours, built-in tool, modern', 'http', {}, { era: 'modern', sessions: 0 }),
    await ours('ours, built-in tool, legacy, TLS', 'https', {}),
    // Against one process of ours in the same run, not against bare.
    await ours(
      'ours, built-in tool, modern, 2 workers',
      'http',
      { server: { workers: 2 } },
      { era: 'modern', sessions: 0, base: 'ours, built-in tool, modern' },
    ),
    await ours(
      'ours, built-in tool, legacy, 2 workers',
      'http',
      { server: { workers: 2 } },
      { sessions: 0, base: 'ours, built-in tool, legacy' },
    ),
    await ours(
      'ours, tool that computes for 1 ms, modern',
      'http',
      { server: computing },
      { era: 'modern', sessions: 0 },
    ),
    await ours(
      'ours, tool that computes for 1 ms, modern, 2 workers',
      'http',
      { server: { ...computing, workers: 2 } },
      { era: 'modern', sessions: 0, base: 'ours, tool that computes for 1 ms, modern' },
    ),
    await ours('ours, shared stdio child, legacy', 'http', child),
    await ours('ours, shared stdio child, modern', 'http', child, { era: 'modern', sessions: 0 }),
  ];
  if (quick) return all;
  return [
    ...all,
    await at('http', (port) => ({
      name: 'SDK 1.x, sessions, JSON',
      args: [join(peers, 'sdk1.mjs'), port],
      cwd: peers,
      sessions: 1_000,
    })),
    await at('http', (port) => ({
      name: 'SDK 2.x createMcpHandler, legacy',
      args: [join(peers, 'sdk2.mjs'), port],
      cwd: peers,
    })),
    await at('http', (port) => ({
      name: 'SDK 2.x createMcpHandler, modern',
      args: [join(peers, 'sdk2.mjs'), port],
      cwd: peers,
      era: 'modern',
    })),
    await at('http', (port) => ({
      name: 'fastmcp',
      args: [join(peers, 'fastmcp.mjs'), port],
      cwd: peers,
      sessions: 1_000,
    })),
    await at('http', (port) => ({
      name: 'mcp-proxy, stdio child',
      args: [
        join(peers, 'node_modules/.bin/mcp-proxy'),
        '--host',
        '127.0.0.1',
        '--port',
        port,
        '--server',
        'stream',
        '--',
        process.execPath,
        echo,
      ],
      cwd: peers,
      // Each session starts a child of its own.
      sessions: 20,
    })),
    await at('http', (port) => ({
      name: 'supergateway, stateful, stdio child',
      args: [
        join(peers, 'node_modules/.bin/supergateway'),
        '--stdio',
        `${process.execPath} ${echo}`,
        '--outputTransport',
        'streamableHttp',
        '--stateful',
        '--port',
        port,
        '--logLevel',
        'none',
      ],
      cwd: peers,
      sessions: 20,
    })),
  ];
}

async function at(scheme, make) {
  const port = await freePort();
  return {
    url: `${scheme}://127.0.0.1:${port}/mcp`,
    base: 'bare node:http',
    era: 'legacy',
    headers: {},
    sessions: 0,
    ...make(String(port)),
  };
}
