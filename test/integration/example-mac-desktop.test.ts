import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { expectStream, openExample, readEnvSample, rpc, type Example } from '../helpers/example.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { findProgram, runTool, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// examples/mac-desktop: its README is followed, and what it promises is looked at from outside.

let example: Example;
let origin = '';
let key = '';
beforeAll(async () => {
  example = await openExample('mac-desktop', ['SERVER_PORT', 'HTTPS_PORT', 'HTTP_PORT']);
  origin = `https://localhost:${example.ports['HTTPS_PORT']}`;
});
afterAll(() => example.close());

const bearer = () => ({ authorization: `Bearer ${key}` });
const echo = rpc('tools/call', { name: 'echo', arguments: { message: 'hi' } });

/** The endpoints, as they are through either proxy. */
async function expectEndpoints(): Promise<void> {
  for (const path of ['/message', '/mcp']) {
    const answer = await example.call({ url: origin + path, ...echo, headers: { ...echo.headers, ...bearer() } });
    expect([path, answer.status, answer.body]).toEqual([path, 200, expect.stringContaining('Echo: hi')]);
  }
  const refused = await example.call({ url: `${origin}/message`, ...echo });
  expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, expect.stringMatching(/^Bearer/)]);
  // Also on what is refused.
  expect(refused.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' });

  await expectStream(example, `${origin}/events`, bearer(), 'event: endpoint');

  expect(await example.call({ url: `${origin}/health` })).toMatchObject({ status: 200, body: '{"status":"ok"}' });
  const metrics = await example.call({ url: `${origin}/metrics` });
  for (const line of [
    /^mcp_requests_total\{method="tools\/call",tool="echo",status="ok"\} \d+$/m,
    /^# TYPE mcp_request_duration_seconds histogram$/m,
    /^mcp_sse_connections_active \d+$/m,
    /^mcp_sse_events_sent_total \d+$/m,
  ]) {
    expect(metrics.body).toMatch(line);
  }
  const plain = await callHttp({ url: `http://localhost:${example.ports['HTTP_PORT']}/message`, ...echo });
  expect([plain.status, plain.headers.location]).toEqual([308, expect.stringMatching(/^https:.*\/message$/)]);
}

testWithTools(
  ['nginx', 'caddy', 'curl', 'promtool', 'prometheus', 'plistutil'],
  'the README of mac-desktop does what it says, and the server keeps its contract behind nginx and behind Caddy',
  async () => {
    expect(example.follow('Start it')).toContain('✓ verified');
    key = example.read('.mcp-deploy/keys/default.key').trim();
    expect(key.length).toBeGreaterThanOrEqual(43);

    const authority = new X509Certificate(example.read('.mcp-deploy/pki/ca.crt'));
    const leaf = new X509Certificate(example.read('.mcp-deploy/pki/server.crt'));
    expect([authority.ca, leaf.ca, leaf.checkIssued(authority)]).toEqual([true, false, true]);
    expect(Math.round(days(authority) / 365.25)).toBe(10);
    expect(Math.round(days(leaf))).toBe(365);
    for (const name of ['localhost', 'desktop', 'desktop.local']) expect(leaf.checkHost(name)).toBe(name);
    for (const address of ['127.0.0.1', '::1']) expect(leaf.checkIP(address)).toBe(address);
    const text = example.sh('openssl x509 -in .mcp-deploy/pki/server.crt -noout -text');
    expect(text).toMatch(/Authority Key Identifier/);
    expect(text).toMatch(/TLS Web Server Authentication/);

    expect(example.follow('Put nginx in front')).toMatch(/ passed in /);
    await expectEndpoints();
    const site = example.read('out/nginx/mcp-desktop.conf');
    for (const directive of ['keepalive 32', 'proxy_read_timeout 1h', 'proxy_buffering off', 'TLSv1.2 TLSv1.3'])
      expect(site).toContain(directive);
    expect(site.replace(/^\s*#.*$/gm, '')).not.toMatch(/chunked_transfer_encoding|upgrade/i);
    // Told of public names only; on localhost it would reach every other port of the machine.
    expect(example.sh('mcp-deploy render nginx --set server.publicUrl=https://mcp.example.com/message')).toContain(
      'Strict-Transport-Security',
    );

    expect(example.follow('Ask it')).toContain('"text":"Echo: hello"');

    const flood = await Promise.all(
      Array.from({ length: 80 }, () =>
        example.call({ url: `${origin}/message`, ...echo, headers: { ...echo.headers, ...bearer() } }),
      ),
    );
    const refused = flood.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(new Set(refused.map(({ headers }) => headers['retry-after']))).toEqual(new Set(['1']));
    expect(new Set(flood.map(({ status }) => status))).toEqual(new Set([200, 429]));

    const read = example.follow('Read what was done');
    expect(read).toMatch(/no-such-tool/);
    expect(read).toMatch(/none changed, removed or moved/);
    const lines = example.read('audit.jsonl').trim().split('\n');
    const called = lines.map((line) => JSON.parse(line) as Record<string, unknown>).find(({ tool }) => tool === 'echo');
    expect(called).toMatchObject({ status: 'ok', tool: 'echo', duration_seconds: expect.any(Number), key: 'default' });

    expect(example.follow('Watch it')).toMatch(/SUCCESS: \d+ rules/);
    const rules = example.read('out/prometheus/mcp-desktop.rules.yml');
    expect(alertOf(rules, 'McpErrorsMany')).toMatch(/mcp_errors_total.*> 10$/);
    expect(alertOf(rules, 'McpLatencyVeryHigh')).toMatch(/p99.*> 5$/);
    expect(alertOf(rules, 'McpStreamsMany')).toMatch(/mcp_sse_connections_active.*> 100$/);
    expect(alertOf(rules, 'McpStreamsSilent')).toMatch(/mcp_sse_events_sent_total.*< 1\b/);
    await expectScraped();

    expect(example.follow('The same with Caddy')).toMatch(/ passed in /);
    await expectEndpoints();

    example.follow('With the environment it had');

    example.follow('Keep it running');
    const plist = example.read('out/launchd/mcp-deploy.desktop.plist');
    for (const word of ['RunAtLoad', 'KeepAlive', 'StandardErrorPath']) expect(plist).toContain(`<key>${word}</key>`);
    runTool('plistutil', ['-i', join(example.folder, 'out/launchd/mcp-deploy.desktop.plist'), '-o', '/dev/null']);
    const unit = example.read('out/systemd/mcp-desktop.service');
    for (const line of ['User=mcp', 'Restart=always', 'NoNewPrivileges=yes', 'ProtectSystem=strict', 'ProtectHome='])
      expect(unit).toContain(line);
    // No file that others may read has the key.
    expect(example.sh(`grep -rlF '${key}' out mcp-deploy.yaml audit.jsonl || echo nowhere`)).toBe('nowhere\n');

    example.follow('Take it away');
    expect([example.left(), example.running()]).toEqual([[], []]);
    expect(example.sh('ls -A')).not.toContain('.mcp-deploy');
  },
  120_000,
);

test('every variable of its env.sample is one that serve knows', () => {
  expect(readEnvSample(example)).toEqual([]);
});

/** The rendered scrape, as it is but for its interval, read by the real Prometheus. */
async function expectScraped(): Promise<void> {
  const scrape = parse(example.read('out/prometheus/mcp-desktop.scrape.yml')) as {
    scrape_configs: { scrape_interval: string; scheme: string }[];
  };
  expect(scrape.scrape_configs).toMatchObject([{ scrape_interval: '15s', scheme: 'https' }]);
  const [config] = scrape.scrape_configs;
  writeFileSync(
    join(example.folder, 'prometheus.yml'),
    JSON.stringify({ scrape_configs: [{ ...config, scrape_interval: '1s', scrape_timeout: '1s' }] }),
  );
  const [port = 0] = await freePorts(1);
  const args = ['--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=127.0.0.1:${port}`];
  const child = spawn(findProgram('prometheus') ?? '', args, { cwd: example.folder, stdio: 'ignore' });
  try {
    const query = `http://127.0.0.1:${port}/api/v1/query?query=up%7Bjob%3D%22mcp-desktop%22%7D`;
    await waitUntil(
      async () => {
        const body = await callHttp({ url: query }).then(
          (answer) => answer.body,
          () => '',
        );
        return body.includes('"1"]');
      },
      60_000,
      'Prometheus to find the server up',
    );
  } finally {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}

function days(certificate: X509Certificate): number {
  return (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / 86_400_000;
}

function alertOf(rules: string, name: string): string {
  const { groups } = parse(rules) as { groups: { rules: { alert?: string; expr: string }[] }[] };
  return (
    groups
      .flatMap((group) => group.rules)
      .find(({ alert }) => alert === name)
      ?.expr.replace(/\s+/g, ' ')
      .trim() ?? ''
  );
}
