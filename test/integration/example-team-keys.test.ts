import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { expectStream, openExample, readEnvSample, rpc, type Example } from '../helpers/example.ts';
import { judgeManifest, type Manifest } from '../helpers/kubernetes-schemas.ts';
import { testWithTools } from '../helpers/tools.ts';

// examples/team-keys: its README is followed, and what it promises is looked at from outside.

let example: Example;
let origin = '';
beforeAll(async () => {
  example = await openExample('team-keys', ['SERVER_PORT', 'HTTPS_PORT', 'HTTP_PORT']);
  origin = `https://localhost:${example.ports['HTTPS_PORT']}`;
});
afterAll(() => example.close());

const statusWith = async (keyFile: string): Promise<number> => {
  const list = rpc('tools/list');
  const headers = { ...list.headers, authorization: `Bearer ${example.read(keyFile).trim()}` };
  return (await example.call({ url: `${origin}/mcp`, ...list, headers })).status;
};

testWithTools(
  ['caddy', 'curl'],
  'the README of team-keys does what it says, and the server keeps its contract behind Caddy and in the manifests',
  async () => {
    const started = example.follow('Start it');
    expect(started).toContain('✓ verified');
    expect(started).toMatch(/^ {2}alice +active/m);
    expect(started).toMatch(/^ {2}web-application +active/m);
    expect(JSON.parse(example.read('.mcp-deploy/server.json'))).toMatchObject({
      deployment: { server: { sessions: { idleSeconds: 300 }, keepAliveSeconds: 30 } },
    });

    expect(example.follow('Put Caddy in front')).toMatch(/ passed in /);

    const asked = example.follow('Ask it');
    expect(asked).toMatch(
      /"version":"[^"]+".*"endpoints":\{"mcp":"\/mcp","sse":"\/mcp\/sse".*"auth":\{"required":true/,
    );
    expect(asked).toMatch(/\}OKHTTP\/\S+ 204/);
    for (const line of [
      'access-control-allow-origin: https://app.example.com',
      'access-control-allow-methods: GET, POST, DELETE, OPTIONS',
      'access-control-max-age: 86400',
    ])
      expect(asked).toContain(line);
    expect(asked).toMatch(/access-control-allow-headers: .*authorization, content-type.*x-session-id/);
    const foreign = await example.call({
      url: `${origin}/mcp`,
      method: 'OPTIONS',
      headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' },
    });
    expect(foreign.headers['access-control-allow-origin']).toBeUndefined();
    const authorization = `Bearer ${example.read('alice.key').trim()}`;
    await expectStream(example, `${origin}/mcp/sse`, { authorization }, 'event: endpoint');
    expect((await example.call({ url: `${origin}/mcp`, ...rpc('tools/list') })).status).toBe(401);

    const before = await statusWith('web.key');
    const changed = example.follow('Change a key');
    expect(changed).toContain('alice.key 200\nalice-new.key 200\n');
    expect(before).toBe(200);
    await expect.poll(() => statusWith('web.key'), { timeout: 20_000 }).toBe(401);
    expect(await statusWith('web-new.key')).toBe(200);

    example.follow('Render the rest');
    const unit = example.read('out/systemd/mcp-maths.service');
    for (const line of ['LimitNOFILE=65536', 'PrivateTmp=yes', 'Restart=always']) expect(unit).toContain(line);
    expectManifests();
    const compose = parse(example.read('out/docker/compose.yaml')) as {
      services: Record<string, { entrypoint?: string[]; labels?: Record<string, string> }>;
    };
    expect(compose.services['proxy']?.entrypoint).toContain('--api=false');
    expect(compose.services['server']?.labels?.['traefik.enable']).toBe('true');
    const served = example.sh('mcp-deploy render docker --set server.publicUrl=https://maths.example.com/mcp');
    expect(served).toContain('--certificatesresolvers.acme.acme.tlschallenge=true');
    expect(served).not.toMatch(/api\.insecure/);

    expect(example.follow('With the environment it had')).toMatch(/^ok: /m);
    example.follow('Take it away');
    expect([example.left(), example.running()]).toEqual([[], []]);
  },
  120_000,
);

test('every variable of its env.sample is one that serve knows', () => {
  expect(readEnvSample(example)).toEqual([]);
});

/** Three pods with probes, whose sessions find them again, and no secret in any file. */
function expectManifests(): void {
  const folder = join(example.folder, 'out/kubernetes/base/manifests');
  const manifests = readdirSync(folder).map((file) => parse(readFileSync(join(folder, file), 'utf8')) as Manifest);
  expect(manifests.map((manifest) => [manifest.kind, judgeManifest(manifest)])).toEqual(
    manifests.map(({ kind }) => [kind, []]),
  );
  const of = (kind: string) => manifests.find((manifest) => manifest.kind === kind);
  expect(of('HorizontalPodAutoscaler')).toMatchObject({ spec: { minReplicas: 3 } });
  expect(of('Deployment')).toMatchObject({
    spec: {
      template: {
        spec: {
          containers: [
            {
              livenessProbe: { httpGet: { path: '/livez' } },
              readinessProbe: { httpGet: { path: '/readyz' } },
            },
          ],
          volumes: expect.arrayContaining([
            expect.objectContaining({ secret: expect.anything() as unknown }),
          ]) as unknown,
        },
      },
    },
  });
  expect(of('Service')).toMatchObject({ spec: { sessionAffinity: 'ClientIP' } });
  expect(JSON.stringify(of('Ingress'))).toContain('upstream-hash-by');
  expect(of('Secret')).toBeUndefined();
}
