import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate, makeAuthority } from '../fixtures/mcp-servers/certificates.ts';
import { startFixtureServer, type FixtureOptions, type FixtureServer } from '../fixtures/mcp-servers/fixture-server.ts';
import { documentOf, runBin, type CliResult } from '../helpers/cli.ts';

const key = 'flags-key-0123456789abcdef0123';
const ca = makeAuthority('Flags CA');
const certificate = issueCertificate(ca, ['localhost', 'mcp.test']);
let folder = '';
const servers: FixtureServer[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-deploy-flags-'));
  await writeFile(join(folder, 'ca.crt'), ca.certificatePem);
  await writeFile(join(folder, 'k'), key, { mode: 0o600 });
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function serve(options: Partial<FixtureOptions> = {}): Promise<FixtureServer> {
  const server = await startFixtureServer({ certificate, key, ...options });
  servers.push(server);
  return server;
}

const takeKeyOff: NonNullable<FixtureOptions['intercept']> = (request) => {
  delete request.headers.authorization;
  return false;
};

const doctor = (url: string, ...flags: readonly string[]): Promise<CliResult> =>
  runBin(['doctor', url, '--key-file', 'k', '--ca', 'ca.crt', ...flags], { cwd: folder });

interface Report {
  readonly rootCause: string | null;
  readonly findings: readonly {
    readonly code: string;
    readonly hop: string;
    readonly evidence: readonly { source: string }[];
  }[];
  readonly notChecked: readonly { readonly code: string; readonly reason: string }[];
}

describe('through the built command line', { timeout: 90_000 }, () => {
  test('--upstream: what fails through the proxy and not directly is the doing of the proxy', async () => {
    const behind = await serve({ certificate: null });
    const front = await serve({ intercept: takeKeyOff });
    const result = await doctor(front.url, '--upstream', behind.url, '--json');
    expect(result.exitCode).toBe(1);
    const report = documentOf<Report>(result, 1);
    expect(report).toMatchObject({ rootCause: 'key/bearer', findings: [{ hop: 'proxy' }] });
    expect(report.findings[0]?.evidence.map(({ source }) => source)).toContain(`directly at ${behind.url}`);
  });

  test('--upstream where nobody listens is said, and no proxy is blamed for it', async () => {
    const front = await serve();
    const gone = await serve({ certificate: null });
    await gone.close();
    const result = await doctor(front.url, '--upstream', gone.url, '--json');
    const report = JSON.parse(result.stdout) as Report;
    expect(result.exitCode).toBe(3);
    expect(report.rootCause).toBeNull();
    expect(report.notChecked.find(({ code }) => code === 'proxy/same-server')?.reason).toContain('ECONNREFUSED');
  });

  test('--resolve: the address in place of what the name leads to', async () => {
    const { port } = await serve();
    const result = await doctor(
      `https://mcp.test:${port}/mcp`,
      '--resolve',
      'mcp.test:127.0.0.1',
      '--only',
      'tls,key',
      '--json',
    );
    expect(documentOf(result)).toMatchObject({ ok: true, target: `https://mcp.test:${port}/mcp` });
  });

  test('--origin: a page that is meant to call and cannot is an error', async () => {
    const { url } = await serve();
    const result = await doctor(url, '--origin', 'https://app.example.com', '--only', 'cors', '--json');
    expect(documentOf(result, 1)).toMatchObject({ rootCause: 'cors/preflight' });
    expect((await doctor(url, '--only', 'cors')).exitCode).toBe(0);
  });

  test('--deep: an idle stream is watched, until it is cut', async () => {
    const { url } = await serve({
      intercept: (request, response) => {
        if (request.method !== 'GET' || request.url !== '/mcp') return false;
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(': here\n\n');
        setTimeout(() => response.destroy(), 700);
        return true;
      },
    });
    const deep = await doctor(url, '--deep', '--only', 'stream/idle', '--json');
    expect(documentOf(deep, 1)).toMatchObject({ rootCause: 'stream/idle' });
    const usual = documentOf<Report>(await doctor(url, '--only', 'stream/idle', '--json'));
    expect(usual.notChecked.find(({ code }) => code === 'stream/idle')?.reason).toContain('--deep');
  });
});

describe('used wrong: one sentence, the next command, nothing is sent', { timeout: 90_000 }, () => {
  const wrong: readonly (readonly [what: string, flags: readonly string[], said: RegExp])[] = [
    ['no URL for --upstream', ['--upstream', '127.0.0.1:8080'], /not an http or https URL/],
    ['a password in --upstream', ['--upstream', 'http://u:p@127.0.0.1/mcp'], /password in the URL is refused/],
    ['--upstream is the URL itself', ['--upstream', 'https://localhost:1/mcp'], /names the URL that is looked at/],
    ['no address for --resolve', ['--resolve', 'localhost'], /NAME:ADDRESS/],
    ['a name as the address', ['--resolve', 'localhost:example.com'], /NAME:ADDRESS/],
    ['--resolve for another name', ['--resolve', 'mcp.test:192.0.2.1'], /--resolve localhost:192\.0\.2\.1/],
    [
      'a page in place of an origin',
      ['--origin', 'https://app.example.com/page'],
      /--origin https:\/\/app\.example\.com/,
    ],
    ['no configuration of a proxy there', ['--proxy-config', 'nope.conf'], /nope\.conf cannot be read/],
    ['no second key there', ['--other-key-file', 'nope.key'], /nope\.key does not exist/],
    ['a value for --deep', ['--deep=5'], /deep/],
  ];
  test.concurrent.each(wrong)('%s', async (_, flags, said) => {
    const result = await doctor('https://localhost:1/mcp', ...flags);
    expect(result.exitCode).toBe(2);
    expect(result.stdout).toBe('');
    expect(result.stderr).toMatch(said);
  });
});
