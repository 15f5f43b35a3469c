import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect } from 'vitest';
import { readProxyConfig } from '../../src/doctor/probes/read-proxy-config.ts';
import { suspectsFor } from '../../src/doctor/proxy-config/suspects.ts';
import { applyDiff } from '../helpers/apply-diff.ts';
import { runProgram } from '../helpers/run-program.ts';
import { healthyObservations, healthyWay } from '../helpers/healthy-observations.ts';
import { freePorts, startCaddyWith, startHaproxyWith, startNginx, type RunningProxy } from '../helpers/proxy-rig.ts';
import { testWithTools } from '../helpers/tools.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-proxy-config-'));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function running(proxy: Promise<RunningProxy>): Promise<void> {
  const started = await proxy;
  closers.push(() => started.stop());
}

/** What doctor would say of this configuration, were the server at 127.0.0.1:9 and the code a finding. */
async function suspectsAt(port: number, code: string) {
  const config = await readProxyConfig('auto', port, runProgram);
  if (typeof config === 'string') throw new Error(config);
  const seen = healthyObservations();
  return suspectsFor(code, {
    ...seen,
    target: { ...seen.target, url: `http://localhost:${port}/mcp`, host: 'localhost', port, encrypted: false },
    direct: { status: 'ok', url: 'http://127.0.0.1:9/mcp', way: healthyWay() },
    proxyConfig: { status: 'ok', ...config },
  });
}

describe('--proxy-config auto finds the proxy that listens, by its process', () => {
  testWithTools(['nginx'], 'nginx with a main file and a prefix of its own', async () => {
    const folder = makeFolder();
    const [port = 0] = await freePorts(1);
    mkdirSync(join(folder, 'conf'));
    writeFileSync(
      join(folder, 'conf/site.conf'),
      `server {\n  listen 127.0.0.1:${port};\n  location / {\n    proxy_read_timeout 60s;\n    proxy_pass http://127.0.0.1:9;\n  }\n}\n`,
    );
    await running(startNginx(join(folder, 'conf/site.conf'), folder, [port]));
    const [suspect] = await suspectsAt(port, 'proxy/read-timeout');
    expect(suspect).toMatchObject({
      file: join(folder, 'conf/site.conf'),
      line: 4,
      observed: 'proxy_read_timeout 60s;',
    });
  });

  testWithTools(['haproxy'], 'HAProxy with several files and a folder', async () => {
    const folder = makeFolder();
    const [port = 0] = await freePorts(1);
    mkdirSync(join(folder, 'conf.d'));
    writeFileSync(join(folder, 'main.cfg'), 'global\n  maxconn 50\ndefaults\n  mode http\n  timeout connect 5s\n');
    const patience = '  timeout client 1h\n  timeout server 20s\n';
    writeFileSync(
      join(folder, 'conf.d/20-site.cfg'),
      `listen site\n  bind 127.0.0.1:${port}\n${patience}  server s 127.0.0.1:9\n`,
    );
    writeFileSync(join(folder, 'conf.d/ignored.txt'), 'not read\n');
    await running(startHaproxyWith(['-f', 'main.cfg', '-f', 'conf.d'], folder, [port]));
    const [suspect] = await suspectsAt(port, 'proxy/read-timeout');
    expect(suspect).toMatchObject({
      file: join(folder, 'conf.d/20-site.cfg'),
      line: 4,
      observed: 'timeout server 20s',
    });
  });

  const caddyfile = (port: number, admin: number): string =>
    `{\n\tadmin localhost:${admin}\n\tauto_https off\n}\nhttp://localhost:${port} {\n\treverse_proxy 127.0.0.1:8 {\n\t\theader_up -Authorization\n\t}\n}\n`;

  testWithTools(['caddy'], 'Caddy that was told no file and reads the Caddyfile of its folder', async () => {
    const folder = makeFolder();
    const [port = 0, admin = 0] = await freePorts(2);
    writeFileSync(join(folder, 'Caddyfile'), caddyfile(port, admin));
    await running(startCaddyWith(['run'], folder, [port]));
    const [suspect] = await suspectsAt(port, 'key/bearer');
    expect(suspect).toMatchObject({ file: join(folder, 'Caddyfile'), line: 7, observed: 'header_up -Authorization' });
  });

  testWithTools(['caddy'], 'Caddy with a JSON file: the place is named, the diff mends it', async () => {
    const folder = makeFolder();
    const [port = 0, admin = 0] = await freePorts(2);
    writeFileSync(join(folder, 'Caddyfile'), caddyfile(port, admin));
    const adapted = await runProgram(['caddy', 'adapt', '--pretty', '--config', join(folder, 'Caddyfile')], 20_000);
    const file = join(folder, 'caddy.json');
    writeFileSync(file, adapted.output);
    await running(startCaddyWith(['run', '--config', 'caddy.json'], folder, [port]));
    const [suspect] = await suspectsAt(port, 'key/bearer');
    const lines = readFileSync(file, 'utf8').split('\n');
    expect(suspect?.file).toBe(file);
    expect(lines[(suspect?.line ?? 0) - 1]).toContain('"delete"');
    expect(suspect?.observed).toMatch(/^apps\/http\/servers\/srv0\/.*\/headers\/request\/delete: \["Authorization"\]$/);
    writeFileSync(file, applyDiff(file, lines.join('\n'), suspect?.diff ?? ''));
    expect(await runProgram(['caddy', 'validate', '--config', file], 20_000)).toMatchObject({ exitCode: 0 });
    expect(await suspectsAt(port, 'key/bearer')).toEqual([]);
    expect(await suspectsAt(port, 'http/no-server-error')).toMatchObject([{ expected: '127.0.0.1:9' }]);
  });

  testWithTools(['caddy', 'curl'], 'Caddy that was told what to do through its admin API', async () => {
    const folder = makeFolder();
    const [port = 0, admin = 0] = await freePorts(2);
    writeFileSync(join(folder, 'told.caddyfile'), caddyfile(port, admin).replace('localhost:', '127.0.0.1:'));
    const told = await runProgram(['caddy', 'adapt', '--config', join(folder, 'told.caddyfile')], 20_000);
    writeFileSync(join(folder, 'bare.json'), JSON.stringify({ admin: { listen: `127.0.0.1:${admin}` } }));
    await running(startCaddyWith(['run', '--config', 'bare.json'], folder, [admin]));
    const url = `http://127.0.0.1:${admin}`;
    const headers = { 'content-type': 'application/json' };
    expect((await fetch(`${url}/load`, { method: 'POST', headers, body: told.output })).status).toBe(200);
    const [suspect] = await suspectsAt(port, 'key/bearer');
    expect(suspect?.file).toBe(`${url}/config/`);
    // The command of the fix is all that is needed.
    const [command = ''] = suspect?.commands ?? [];
    expect(await runProgram(['sh', '-c', command], 20_000)).toMatchObject({ exitCode: 0 });
    expect(await suspectsAt(port, 'key/bearer')).toEqual([]);
    const [elsewhere] = await suspectsAt(port, 'http/no-server-error');
    expect(await runProgram(['sh', '-c', elsewhere?.commands[0] ?? ''], 20_000)).toMatchObject({ exitCode: 0 });
    expect(await suspectsAt(port, 'http/no-server-error')).toEqual([]);
  });

  testWithTools([], 'and says so when none listens there', async () => {
    const [port = 0] = await freePorts(1);
    expect(await readProxyConfig('auto', port, runProgram)).toBe(
      `no nginx, Caddy or HAProxy of this machine was found that listens on port ${port}`,
    );
  });
});
