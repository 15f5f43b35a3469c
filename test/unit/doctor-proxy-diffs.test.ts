import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import { suspectsFor } from '../../src/doctor/proxy-config/suspects.ts';
import { healthyObservations, healthyWay } from '../helpers/healthy-observations.ts';
import { testWithTools } from '../helpers/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcpd-diffs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Program = 'nginx' | 'caddy' | 'haproxy';

function firstFix(program: Program, text: string, code: string) {
  const file = join(folder, `${program}.conf`);
  writeFileSync(file, text);
  const seen = healthyObservations();
  const target = { ...seen.target, url: 'https://localhost:8443/mcp', host: 'localhost', port: 8443 };
  const direct = { status: 'ok', url: 'http://127.0.0.1:9/mcp', way: healthyWay() } as const;
  const proxyConfig = { status: 'ok', program, files: [{ path: file, text }] } as const;
  const [suspect] = suspectsFor(code, { ...seen, target, direct, proxyConfig });
  return { file, suspect };
}

const haproxy = 'defaults\n  mode http\nlisten a\n  bind 127.0.0.1:8443\n';

/** What stands there, and what patch makes of it with the diff. */
const cases: readonly (readonly [name: string, program: Program, code: string, before: string, after: string])[] = [
  [
    'nginx: of several directives on a line only the wrong one goes',
    'nginx',
    'key/bearer',
    'server { listen 8443; location / { proxy_set_header Authorization ""; proxy_pass http://127.0.0.1:9; } }\n',
    'server { listen 8443; location / { proxy_pass http://127.0.0.1:9; } }\n',
  ],
  [
    'nginx: a directive over several lines',
    'nginx',
    'http/no-redirect',
    'server {\n  listen 8443;\n  location / {\n    return 301\n      https://a.example/;\n    proxy_pass http://127.0.0.1:9;\n  }\n}\n',
    'server {\n  listen 8443;\n  location / {\n    proxy_pass http://127.0.0.1:9;\n  }\n}\n',
  ],
  [
    'nginx: into a block on one line',
    'nginx',
    'sizes/body',
    'server { listen 8443; location / { proxy_pass http://127.0.0.1:9; } }',
    'server { listen 8443; location / { client_max_body_size 10m; proxy_pass http://127.0.0.1:9; } }',
  ],
  [
    'Caddy: below the path of a key, which is no secret',
    'caddy',
    'http/endpoint-found',
    'localhost:8443 {\n  tls a.crt a.key\n  handle_path /mcp* {\n    reverse_proxy 127.0.0.1:9\n  }\n}\n',
    'localhost:8443 {\n  tls a.crt a.key\n  handle /mcp* {\n    reverse_proxy 127.0.0.1:9\n  }\n}\n',
  ],
  [
    'HAProxy: the last line',
    'haproxy',
    'http/no-server-error',
    `${haproxy}  server s 127.0.0.1:8\n`,
    `${haproxy}  server s 127.0.0.1:9\n`,
  ],
  [
    'HAProxy: the last line, without a line break',
    'haproxy',
    'http/no-server-error',
    `${haproxy}  server s 127.0.0.1:8`,
    `${haproxy}  server s 127.0.0.1:9`,
  ],
  [
    'HAProxy: beside a line with a secret, which is not shown',
    'haproxy',
    'key/bearer',
    `${haproxy}  http-request set-header X-Backend-Key top-secret-1\n  http-request del-header Authorization\n  server s 127.0.0.1:9\n`,
    `${haproxy}  http-request set-header X-Backend-Key top-secret-1\n  server s 127.0.0.1:9\n`,
  ],
  [
    'Caddy: encode for everything but the endpoint',
    'caddy',
    'stream/compressed',
    'localhost:8443 {\n\tencode zstd gzip {\n\t\tminimum_length 100\n\t}\n\treverse_proxy 127.0.0.1:9\n}\n',
    'localhost:8443 {\n\t@not_mcp not path /mcp\n\tencode @not_mcp zstd gzip {\n\t\tminimum_length 100\n\t}\n\treverse_proxy 127.0.0.1:9\n}\n',
  ],
];

describe('patch makes of a configuration what the diff of a finding says', () => {
  for (const [name, program, code, before, after] of cases) {
    testWithTools(['patch'], name, () => {
      const { file, suspect } = firstFix(program, before, code);
      expect(suspect?.diff).not.toContain('top-secret');
      const input = `${suspect?.diff ?? ''}\n`;
      execFileSync('patch', ['-p0', '-d', '/', '--batch', '--fuzz=0', '--quiet'], { input, stdio: 'pipe' });
      expect(readFileSync(file, 'utf8')).toBe(after);
    });
  }
});

describe('a line that holds a key is taken out by its number, and the key is not shown', () => {
  const key = 'Bearer mcpd_0123456789abcdef';
  const sites: readonly (readonly [Program, string])[] = [
    [
      'nginx',
      `server {\n  listen 8443;\n  location / {\n    proxy_set_header Authorization "${key}";\n    proxy_pass http://127.0.0.1:9;\n  }\n}\n`,
    ],
    ['haproxy', `${haproxy}  http-request set-header Authorization "${key}"\n  server s 127.0.0.1:9\n`],
    ['caddy', `localhost:8443 {\n\treverse_proxy 127.0.0.1:9 {\n\t\theader_up Authorization "${key}"\n\t}\n}\n`],
  ];
  for (const [program, text] of sites) {
    testWithTools(['sed'], program, () => {
      const { file, suspect } = firstFix(program, text, 'key/none-refused');
      expect(JSON.stringify(suspect)).not.toContain('mcpd_');
      execFileSync('sh', ['-c', suspect?.commands[0] ?? 'false']);
      const left = text.split('\n').filter((line) => !line.includes(key));
      expect(readFileSync(file, 'utf8')).toBe(left.join('\n'));
    });
  }

  testWithTools([], 'in the JSON of Caddy, where it may stand on a line of its own, no diff is given', () => {
    const set = { 'X-Api-Key': ['mcpd_0123456789abcdef'] };
    const handle = [
      { handler: 'headers', request: { set } },
      { handler: 'reverse_proxy', upstreams: [{ dial: '127.0.0.1:9' }] },
    ];
    const apps = { http: { servers: { a: { listen: [':8443'], routes: [{ handle }] } } } };
    const { suspect } = firstFix('caddy', `${JSON.stringify({ apps }, null, 2)}\n`, 'key/none-refused');
    expect(suspect?.code).toBe('key/none-refused');
    expect(JSON.stringify(suspect)).not.toContain('mcpd_');
  });
});
