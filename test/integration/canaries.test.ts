import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { callHttp } from '../helpers/http-call.ts';
import { startCollector } from '../helpers/otlp-collector.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** One word for each way in; none of them may be in any way out. */
const canary = {
  key: 'canary-key-5f1c9d7e2b8a4f60',
  wrongKey: 'canary-wrong-91b2c3d4e5f60718',
  basic: Buffer.from('user:canary-basic-password').toString('base64'),
  upstreamToken: 'canary-upstream-token-77aa88bb',
  upstreamEnvironment: 'canary-environment-12ab34cd',
  argument: 'canary-argument-of-a-tool',
  collectorToken: 'canary-collector-token-3c9d',
  chainKey: 'canary-chain-key-0123456789abcdef',
};
const forged = '\n{"time":"2026-01-01T00:00:00.000Z","level":"error","event":"forged"}\n\u009b31m\u2028';

test.each(['command', 'webhook'] as const)(
  'secrets of a run are in no log, old or new, audit file, metric, page, span, error hook (%s) or list of processes, and no line is forged',
  async (hookKind) => {
    const folder = mkdtempSync(join(tmpdir(), 'mcpd-canary-'));
    const bundle = await buildServerBundle(folder);
    // An HTTP upstream that repeats the credentials it was given in its refusal, as some do.
    const upstream = createServer((req, res) => {
      res.writeHead(401, { 'content-type': 'text/plain' });
      res.end(`no: ${String(req.headers.authorization)} token=${canary.upstreamToken}${forged}`);
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const collector = await startCollector();
    let posted = '';
    const webhook = createServer((req, res) => {
      posted += JSON.stringify(req.headers);
      req.on('data', (chunk: Buffer) => (posted += chunk.toString()));
      req.on('end', () => res.end());
    });
    await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
    const webhookUrl = `http://127.0.0.1:${(webhook.address() as AddressInfo).port}/errors`;
    const hookOutput = join(folder, 'hook.txt');
    const hook = join(folder, 'hook.mjs');
    const noisy = join(folder, 'noisy.mjs');
    writeFileSync(
      hook,
      `import { readFileSync, appendFileSync } from 'node:fs'; appendFileSync(process.argv[2], readFileSync(0, 'utf8') + JSON.stringify(process.env) + '\\n');`,
    );
    // A stdio upstream that shouts its token and dies.
    writeFileSync(
      noisy,
      `process.stderr.write('fatal: token=' + process.env.API_TOKEN + ' Authorization: Bearer ' + process.env.API_TOKEN + '\\n'); process.exit(1);`,
    );
    writeFileSync(join(folder, 'chain.key'), canary.chainKey);
    const audit = join(folder, 'audit.jsonl');
    const logFile = join(folder, 'server.log');
    const deployment = {
      version: 1,
      server: {
        listen: '127.0.0.1:0',
        builtinTools: 'on',
        toolPath: '/tools',
        page: true,
        upstreams: {
          remote: {
            url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/mcp`,
            headers: { authorization: 'Bearer ${UPSTREAM_TOKEN}' },
          },
          noisy: { command: process.execPath, args: [noisy], env: { API_TOKEN: '${NOISY_TOKEN}' } },
        },
      },
      tls: { source: 'off' },
      logs: {
        level: 'debug',
        audit,
        auditKeyFile: join(folder, 'chain.key'),
        file: logFile,
        // So small that most lines are in files that were moved away.
        rotate: { megabytes: 0.002, keep: 100 },
        auditRotate: { megabytes: 0.002 },
        errorHook:
          hookKind === 'webhook'
            ? { url: webhookUrl, everySeconds: 0 }
            : { command: [process.execPath, hook, hookOutput], everySeconds: 0 },
        traces: { endpoint: collector.url, everyMs: 50, headers: { 'x-tenant': '${COLLECTOR_TOKEN}' } },
      },
    };
    writeFileSync(join(folder, 'server.json'), JSON.stringify({ deployment, baseDir: folder, keyStoreFile: null }));
    const child = spawn(process.execPath, [bundle, '--config', join(folder, 'server.json')], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        MCP_API_KEY: canary.key,
        UPSTREAM_TOKEN: canary.upstreamToken,
        NOISY_TOKEN: canary.upstreamEnvironment,
        COLLECTOR_TOKEN: canary.collectorToken,
      },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const exited = new Promise((resolve) => child.once('exit', resolve));
    try {
      await waitUntil(() => output.includes('listening ') || child.exitCode !== null, 20_000, `the server (${output})`);
      const url = /listening (\S+)/.exec(output)?.[1] ?? '';
      const post = (headers: Record<string, string>, params: unknown) =>
        callHttp({
          url,
          method: 'POST',
          headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
          body: JSON.stringify({ jsonrpc: '2.0', id: forged, method: 'tools/call', params }),
        });
      const key = { authorization: `Bearer ${canary.key}` };
      const answered = await post(key, { name: 'builtin__echo', arguments: { message: canary.argument } });
      expect(answered.body, answered.body).toContain(canary.argument);
      await post(key, { name: `echo${forged}`, arguments: { message: canary.argument } });
      await post(key, { name: 'remote__x', arguments: { message: canary.argument } });
      const plain = (name: string, headers: Record<string, string>) =>
        callHttp({
          url: `${new URL(url).origin}/tools/${name}`,
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify({ message: canary.argument }),
        });
      expect((await plain('builtin__echo', key)).body).toContain(canary.argument);
      await plain('remote__x', key);
      await plain('builtin__echo', { 'x-api-key': canary.wrongKey });
      await post({ authorization: `Bearer ${canary.wrongKey}` }, { name: 'echo' });
      await post({ authorization: `Basic ${canary.basic}` }, { name: 'echo' });
      await post({ 'x-api-key': canary.wrongKey }, { name: 'echo' });
      await post({ ...key, origin: `https://${canary.wrongKey}.example` }, { name: 'echo' });

      const origin = new URL(url).origin;
      const pages = await Promise.all(
        ['/metrics', '/status', '/health', '/readyz', '/'].map(
          async (path) => (await callHttp({ url: origin + path, headers: { accept: 'text/html, */*' } })).body,
        ),
      );
      // A key where only a reference may stand: refused at the next reading, which is an error that the hook is told.
      const wrong = { ...deployment, auth: { keys: [{ label: 'ci', secret: canary.key }] } };
      writeFileSync(
        join(folder, 'server.json'),
        JSON.stringify({ deployment: wrong, baseDir: folder, keyStoreFile: null }),
      );
      child.kill('SIGHUP');
      const told = (): string =>
        hookKind === 'webhook' ? posted : existsSync(hookOutput) ? readFileSync(hookOutput, 'utf8') : '';
      await waitUntil(() => told().includes('"level":"error"'), 20_000, 'the hook');
      const processes = readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .map((pid) => (existsSync(`/proc/${pid}/cmdline`) ? readCommandLine(pid) : ''));
      child.kill('SIGTERM');
      await exited;
      const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
      const written = (name: string): string =>
        readdirSync(folder)
          .filter((file) => file.startsWith(name))
          .map((file) => readFileSync(join(folder, file), 'utf8'))
          .join('');
      const sinks = {
        audit: written('audit.jsonl'),
        log: written('server.log'),
        output,
        pages: pages.join('\n'),
        hook: told(),
        spans: collector.requests.map(({ text }) => text).join('\n'),
        processes: processes.join('\n'),
      };
      for (const [sink, text] of Object.entries(sinks)) {
        for (const [name, secret] of Object.entries(canary)) {
          // What a foreign page calls itself is no secret of ours; the audit file says whom it refused.
          const known = name === 'wrongKey' ? text.replaceAll(`https://${canary.wrongKey}.example`, '') : text;
          expect(known.includes(secret), `${name} in ${sink}`).toBe(false);
        }
      }
      // The sinks are not clean because they are empty.
      expect(lines(sinks.audit).length).toBeGreaterThanOrEqual(8);
      expect(readdirSync(folder).filter((file) => file.startsWith('server.log.')).length).toBeGreaterThan(0);
      expect(sinks.spans).toContain('builtin__echo');
      expect(sinks.pages).toContain('<html');
      expect(sinks.hook).toContain('"level":"error"');
      expect(sinks.log).toContain('key.refused');
      expect(sinks.log).toContain('[secret]');
      for (const line of [...lines(sinks.audit), ...lines(sinks.log)]) {
        expect(JSON.parse(line)).not.toMatchObject({ event: 'forged' });
        expect(line).not.toMatch(/[\x7f-\x9f\u2028]/);
      }
      const requestId = String(answered.headers['x-request-id']);
      expect(sinks.audit).toContain(`"request":"${requestId}"`);
    } finally {
      child.kill('SIGKILL');
      upstream.close();
      webhook.close();
      await collector.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
  60_000,
);

function readCommandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
