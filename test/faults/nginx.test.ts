import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { freePorts, startNginx } from '../helpers/proxy-rig.ts';
import { firstKey, startRig } from '../helpers/server-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { afterwards, ca, diagnose, goodCertificate, inShort } from './laboratory.ts';

/**
 * The bundled server behind a real nginx whose site has one fault. nginx ends
 * TLS with the laboratory's certificate; doctor comes as a stranger with the key.
 */
interface NginxFault {
  readonly fault: string;
  readonly code: string;
  readonly hop: string;
  readonly site: Partial<Site>;
}

interface Site {
  readonly plainHttp: boolean;
  /** Pattern of the location that passes requests on. */
  readonly location: string;
  readonly lines: readonly string[];
  /** In the server block. */
  readonly server: readonly string[];
  readonly upstreamPort: number;
}

const usualLines = [
  'proxy_http_version 1.1;',
  'proxy_set_header Host $http_host;',
  'proxy_set_header Connection "";',
  'proxy_buffering off;',
  'client_max_body_size 10m;',
  'proxy_intercept_errors off;',
  'gzip off;',
];

function without(start: string): string[] {
  return usualLines.filter((line) => !line.startsWith(start));
}

const faults: readonly NginxFault[] = [
  {
    fault: 'buffering on, and the hint of the server ignored',
    code: 'stream/first-event',
    hop: 'proxy',
    site: { lines: [...without('proxy_buffering'), 'proxy_buffering on;', 'proxy_ignore_headers X-Accel-Buffering;'] },
  },
  { fault: 'nothing behind it', code: 'http/no-server-error', hop: 'proxy', site: { upstreamPort: 1 } },
  { fault: 'location /mcp/ in place of /mcp', code: 'http/no-redirect', hop: 'proxy', site: { location: '/mcp/' } },
  {
    fault: 'the Authorization header is taken off',
    code: 'key/bearer',
    hop: 'server',
    site: { lines: [...usualLines, 'proxy_set_header Authorization "";'] },
  },
  {
    fault: 'every request is given the key',
    code: 'key/none-refused',
    hop: 'server',
    site: {
      lines: [...usualLines, `proxy_set_header Authorization "Bearer ${firstKey}";`, 'proxy_set_header X-Api-Key "";'],
    },
  },
  {
    fault: 'the OAuth paths end in a web application',
    code: 'http/well-knowns-json',
    hop: 'proxy',
    site: { server: ['location /.well-known/ { default_type text/html; return 200 "<html>app</html>"; }'] },
  },
  {
    fault: 'Host is rewritten to a name that the server does not know',
    code: 'http/host-allowed',
    hop: 'server',
    site: { lines: [...without('proxy_set_header Host'), 'proxy_set_header Host backend.internal;'] },
  },
  {
    fault: 'the site is plain HTTP on the https port',
    code: 'tls/handshake',
    hop: 'tls',
    site: { plainHttp: true },
  },
];

async function diagnoseBehindNginx(change: Partial<Site>): Promise<DoctorReport> {
  const folder = await mkdtemp(join(tmpdir(), 'mcpd-fault-nginx-'));
  afterwards(() => rm(folder, { recursive: true, force: true }));
  const rig = await startRig();
  afterwards(() => rig.stop());
  const [port = 0] = await freePorts(1);
  const upstreamPort = Number(new URL(rig.origin).port);
  const site: Site = { plainHttp: false, location: '/', lines: usualLines, server: [], upstreamPort, ...change };
  await writeFile(join(folder, 'site.crt'), goodCertificate.certificatePem);
  await writeFile(join(folder, 'site.key'), goodCertificate.keyPem, { mode: 0o600 });
  const tls = [
    `  ssl_certificate ${folder}/site.crt;`,
    `  ssl_certificate_key ${folder}/site.key;`,
    '  ssl_protocols TLSv1.2 TLSv1.3;',
  ];
  await writeFile(
    join(folder, 'site.conf'),
    [
      'server {',
      `  listen 127.0.0.1:${port}${site.plainHttp ? '' : ' ssl'};`,
      ...(site.plainHttp ? [] : tls),
      ...site.server,
      `  location ${site.location} {`,
      `    proxy_pass http://127.0.0.1:${site.upstreamPort};`,
      ...site.lines,
      '  }',
      '}',
      '',
    ].join('\n'),
  );
  const nginx = await startNginx(join(folder, 'site.conf'), folder, [port]);
  afterwards(() => nginx.stop());
  return diagnose(`https://localhost:${port}/mcp`, {
    caPem: ca.certificatePem,
    key: firstKey,
    limits: false,
    patience: { streamHeadMs: 2_000 },
  });
}

for (const { fault, code, hop, site } of faults) {
  testWithTools(['nginx'], `nginx: ${fault} -> ${code}`, async () => {
    const report = await diagnoseBehindNginx(site);
    expect(report.findings[0], inShort(report)).toMatchObject({ code, hop });
    expect(report.rootCause).toBe(code);
  });
}

testWithTools(['nginx'], 'nginx as it should be is left in peace, and named on the path', async () => {
  const report = await diagnoseBehindNginx({});
  expect(report.findings, inShort(report)).toEqual([]);
  expect(report.ok).toBe(true);
  expect(report.path.find(({ hop }) => hop === 'proxy')).toMatchObject({
    label: expect.stringContaining('nginx'),
    state: 'ok',
  });
});
