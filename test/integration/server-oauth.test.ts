import { createHmac, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { mkdtempSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { createFakeBackend, echoBackend } from '../helpers/fake-backend.ts';
import { callHttp } from '../helpers/http-call.ts';
import { firstKey, modernRequest, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { startTokenIssuer, type TokenIssuer } from '../helpers/token-issuer.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const audience = 'https://mcp.example.com/mcp';
const metadataUrl = 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp';
type OAuth = NonNullable<NonNullable<DeploymentInput['auth']>['oauth']>;

let issuer: TokenIssuer;
let rig: ServerRig;
let folder: string;

beforeEach(async () => {
  issuer = await startTokenIssuer();
  folder = mkdtempSync(join(tmpdir(), 'mcpd-oauth-'));
});
afterEach(async () => {
  await rig.stop();
  await issuer.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(oauth: Partial<OAuth> = {}, more: RigOptions = {}): Promise<void> {
  rig = await startRig({
    backends: [echoBackend()],
    auth: { oauth: { issuer: issuer.url, ...oauth } },
    audit: join(folder, 'audit.jsonl'),
    ...more,
    server: { publicUrl: audience, ...more.server },
  });
}

const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
const ask = (token: string, message: unknown = list) => rig.post(message, { authorization: `Bearer ${token}` });
const good = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, kid = 'one') =>
  issuer.sign({ claims: { aud: audience, ...claims }, header, kid });
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1_000) + seconds;

describe('a good token', () => {
  for (const kind of ['oauth', 'oidc'] as const) {
    test(`is let in, the keys being found through ${kind === 'oauth' ? 'RFC 8414' : 'OpenID'} metadata`, async () => {
      await issuer.close();
      issuer = await startTokenIssuer(kind);
      await start();
      expect((await ask(await good())).status).toBe(200);
      expect(issuer.keyFetches()).toBe(1);
    });
  }

  for (const [what, claims, header] of [
    ['of type JWT', {}, { typ: 'JWT' }],
    ['without a type', {}, { typ: undefined }],
    ['for several audiences', { aud: ['other', audience] }, {}],
    ['that expired within the clock skew', { exp: inSeconds(-10) }, {}],
    ['that begins within the clock skew', { nbf: inSeconds(10) }, {}],
    ['of a machine, without sub', { sub: undefined, client_id: 'robot' }, {}],
  ] as const) {
    test(`${what} is let in`, async () => {
      await start();
      expect((await ask(await good(claims, header))).status).toBe(200);
    });
  }

  test('is verified once: the issuer may be gone afterwards, and other tokens of its keys are let in too', async () => {
    await start();
    const token = await good();
    expect((await ask(token)).status).toBe(200);
    issuer.up = false;
    expect((await ask(token)).status).toBe(200);
    expect((await ask(await good({ sub: 'grace' }))).status).toBe(200);
    expect(issuer.keyFetches()).toBe(1);
  });

  test('serves both eras; its subject is the label in the audit, and owns its session', async () => {
    await start();
    const token = await good({ sub: 'ada\n"x"' });
    const session = await rig.initialize({ key: token });
    const call = { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'echo', arguments: {} } };
    const post = (bearer: string) => rig.post(call, { authorization: `Bearer ${bearer}`, 'mcp-session-id': session });
    expect((await post(await good({ sub: 'ada\n"x"', jti: 'refreshed' }))).status).toBe(200);
    expect((await post(await good({ sub: 'eve' }))).status).toBe(404);
    const lines = (): string => readFileSync(join(folder, 'audit.jsonl'), 'utf8');
    await waitUntil(() => lines().includes('"tool":"echo"'), 5_000, 'the audit line');
    expect(lines()).toContain('"key":"ada?\\"x\\""');
    expect(lines() + rig.log.join()).not.toContain(token);
  });

  test('keys go on beside tokens', async () => {
    await start();
    expect((await ask(firstKey)).status).toBe(200);
    const headers = { 'x-api-key': firstKey, 'content-type': 'application/json' };
    expect((await rig.call({ method: 'POST', headers, body: JSON.stringify(list) })).status).toBe(200);
    expect(issuer.asked).toEqual([]);
  });

  test('a hundred first uses at once fetch the keys once', async () => {
    await start();
    const tokens = await Promise.all(Array.from({ length: 100 }, (_, index) => good({ jti: String(index) })));
    const answers = await Promise.all(tokens.map((token) => ask(token)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(issuer.keyFetches()).toBe(1);
  });
});

describe('an event stream', () => {
  const claims = { sub: 'ada' };

  test('ends with the token that opened it, the session stays, and a refreshed token goes on; others notice nothing', async () => {
    await start({ clockSkewSeconds: 0 }, { server: { legacySse: {} } });
    const lasting = await good({ ...claims, jti: 'lasting' });
    const session = await rig.initialize({ key: lasting });
    const open = (token: string, path = '/mcp', headers: Record<string, string> = { 'mcp-session-id': session }) =>
      fetch(rig.origin + path, {
        headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...headers },
      });
    const brief = await good({ ...claims, exp: inSeconds(4) });
    const cut = await open(brief);
    const cutLegacy = await open(brief, '/sse', {});
    const stays = await open(await good({ sub: 'grace' }), '/sse', {});
    expect([cut.status, cutLegacy.status, stays.status]).toEqual([200, 200, 200]);
    // They end as a whole answer does, not with a broken connection.
    expect(await cut.text()).toContain(': open');
    expect(await cutLegacy.text()).toContain('event: endpoint');
    expect((await open(brief)).status).toBe(401);
    const refreshed = await open(lasting);
    expect(refreshed.status).toBe(200);
    expect((await rig.call({ path: '/metrics' })).body).toContain('mcp_sse_connections_active 2\n');
    await refreshed.body?.cancel();
    await stays.body?.cancel();
  });

  test('of a modern client ends with its token too', async () => {
    await start({ clockSkewSeconds: 0 });
    const { message, headers } = modernRequest(1, 'subscriptions/listen', {
      notifications: { toolsListChanged: true },
    });
    const stream = await rig.post(message, {
      ...headers,
      accept: 'text/event-stream',
      authorization: `Bearer ${await good({ exp: inSeconds(4) })}`,
    });
    expect(stream.status).toBe(200);
    expect(stream.body).toContain('data: ');
  });
});

describe('a bad token', () => {
  const cases: [string, () => Promise<string> | string, RegExp][] = [
    ['for another audience', () => good({ aud: 'https://other.example.com/mcp' }), /another audience/],
    ['without an audience', () => good({ aud: undefined }), /another audience/],
    ['of another issuer', () => good({ iss: 'https://evil.example.com' }), /another issuer/],
    ['that has expired', () => good({ exp: inSeconds(-60) }), /expired/],
    ['without an expiry', () => good({ exp: undefined }), /no expiry/],
    ['that is not valid yet', () => good({ nbf: inSeconds(60) }), /not valid yet/],
    ['issued in the future', () => good({ iat: inSeconds(120) }), /in the future/],
    ['without a subject', () => good({ sub: undefined }), /no subject/],
    ['of the type of a logout token', () => good({}, { typ: 'logout+jwt' }), /no access token/],
    ['bound to a key of the client', () => good({ cnf: { jkt: 'x' } }), /bound to a key/],
    [
      'without a signature (alg none)',
      () =>
        `${part({ alg: 'none', typ: 'at+jwt' })}.${part({ iss: issuer.url, aud: audience, sub: 'eve', exp: inSeconds(60) })}.`,
      /not allowed|cannot be read/,
    ],
    [
      'signed by HMAC with the public key (HS256 confusion)',
      async () => {
        const jwk = issuer.jwks.keys[0] ?? {};
        const pem = createPublicKey({ key: jwk as never, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
        const text = `${part({ alg: 'HS256', typ: 'at+jwt', kid: 'one' })}.${part({ iss: issuer.url, aud: audience, sub: 'eve', exp: inSeconds(60) })}`;
        return Promise.resolve(`${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`);
      },
      /not allowed/,
    ],
    [
      'that brings its own key along',
      async () => {
        await issuer.addKey('evil');
        const jwk = issuer.jwks.keys[1] ?? {};
        issuer.jwks = { keys: issuer.jwks.keys.slice(0, 1) };
        return issuer.sign({ claims: { aud: audience }, header: { jwk, kid: 'one' }, kid: 'evil' });
      },
      /signature .* is wrong/,
    ],
    [
      'with a claim changed after it was signed',
      async () => {
        const [header, payload, signature] = (await good()).split('.');
        const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as Record<string, unknown>;
        return `${header}.${part({ ...claims, sub: 'root' })}.${signature}`;
      },
      /signature .* is wrong/,
    ],
    ['longer than 8192 characters', () => good({ padding: 'x'.repeat(7_000) }), /longer than 8192/],
    [
      'of a key that the issuer does not have',
      async () => {
        await issuer.addKey('hidden');
        issuer.jwks = { keys: issuer.jwks.keys.slice(0, 1) };
        return good({}, { kid: 'hidden' }, 'hidden');
      },
      /no key of the id/,
    ],
    ['that is no JSON', () => `${'A'.repeat(60)}.${'B'.repeat(20)}.${'C'.repeat(20)}`, /cannot be read/],
    [
      'with a critical header that nobody knows',
      () => {
        const claims = { sub: 'eve', aud: audience, iss: issuer.url, exp: inSeconds(60) };
        return `${part({ alg: 'ES256', kid: 'one', crit: ['x-y'], 'x-y': 1 })}.${part(claims)}.${'C'.repeat(86)}`;
      },
      /cannot be read/,
    ],
  ];
  for (const [what, make, says] of cases) {
    test(`${what} is refused with 401, the reason and the way to a good one`, async () => {
      await start();
      const token = await make();
      const answer = await ask(token);
      expect(answer.status, answer.body).toBe(401);
      const body = JSON.parse(answer.body) as Record<string, string>;
      expect(body['error']).toBe('invalid_token');
      expect(body['error_description']).toMatch(says);
      const challenge = String(answer.headers['www-authenticate']);
      expect(challenge).toContain('error="invalid_token"');
      expect(challenge).toContain(`resource_metadata="${metadataUrl}"`);
      expect(answer.body + challenge + rig.log.join()).not.toContain(token);
    });
  }

  test('a storm of unknown key ids fetches the keys no more than twice', async () => {
    await start();
    await ask(await good());
    const storm = await Promise.all(Array.from({ length: 60 }, (_, index) => good({}, { kid: `made-up-${index}` })));
    const statuses = await Promise.all(storm.map(async (token) => (await ask(token)).status));
    expect(new Set(statuses)).toEqual(new Set([401, 429]));
    expect(issuer.keyFetches()).toBeLessThanOrEqual(2);
    expect((await ask(await good({ jti: 'after' }))).status).toBe(200);
  });
});

describe('the keys of the issuer', () => {
  test('while the issuer is down, a token of a key that is not known is answered 503 and says so', async () => {
    await start();
    issuer.up = false;
    const answer = await ask(await good());
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('30');
    expect(answer.body).toContain('issuer of the token cannot be reached');
    expect(rig.log.join()).toContain('oauth.issuer-unavailable');
  });

  test('metadata of another issuer is not used', async () => {
    await start({ issuer: `${issuer.url}/tenant` });
    expect((await ask(await good({ iss: `${issuer.url}/tenant` }))).status).toBe(503);
    expect(issuer.keyFetches()).toBe(0);
  });
});

describe('scopes', () => {
  const withScopes = { requiredScopes: ['mcp'], scopes: { 'files:write': ['write*', 'delete'] } };
  const tool = (name: string) => modernRequest(1, 'tools/call', { name, arguments: {} });
  const call = async (token: string, name: string) => {
    const { message, headers } = tool(name);
    return rig.post(message, { ...headers, authorization: `Bearer ${token}` });
  };

  test('a token without a scope that all need is refused with 403 and the scope', async () => {
    await start(withScopes);
    const answer = await ask(await good({ scope: 'openid' }));
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'insufficient_scope' });
    const challenge = String(answer.headers['www-authenticate']);
    expect(challenge).toContain('error="insufficient_scope"');
    expect(challenge).toContain('scope="mcp"');
    expect(challenge).toContain(`resource_metadata="${metadataUrl}"`);
  });

  test('a tool that needs more is answered with the scopes to ask for, and runs with them; other tools run at once', async () => {
    const ran: string[] = [];
    const backend = createFakeBackend(({ method, params }) => {
      if (method === 'tools/call') ran.push(String(params?.['name']));
      return method === 'tools/list' ? '{"tools":[]}' : '{"content":[]}';
    });
    await start(withScopes, { backends: [backend] });
    const token = await good({ scope: 'mcp' });
    expect((await call(token, 'read')).status).toBe(200);
    const refused = await call(token, 'write_file');
    expect(refused.status).toBe(403);
    expect(String(refused.headers['www-authenticate'])).toContain('scope="mcp files:write"');
    expect(ran).toEqual(['read']);
    const legacy = await ask(token, { jsonrpc: '2.0', id: 3, method: 'tools/call', params: { name: 'delete' } });
    expect(legacy.status).toBe(403);
    expect((await call(await good({ scp: ['mcp', 'files:write'] }), 'write_file')).status).toBe(200);
    expect(ran).toEqual(['read', 'write_file']);
    const lines = (): string => readFileSync(join(folder, 'audit.jsonl'), 'utf8');
    await waitUntil(() => lines().includes('lacks a scope'), 5_000, 'the audit line');
  });
});

describe('metadata', () => {
  test('is found at the well-known path and at the path form, for pages of any origin', async () => {
    await start({ requiredScopes: ['mcp'], scopes: { write: ['write*'] } });
    for (const path of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp']) {
      const answer = await callHttp({ url: rig.origin + path, headers: { origin: 'https://inspector.example.com' } });
      expect(answer.status).toBe(200);
      expect(answer.headers['access-control-allow-origin']).toBe('*');
      expect(JSON.parse(answer.body)).toMatchObject({
        resource: audience,
        authorization_servers: [issuer.url],
        bearer_methods_supported: ['header'],
        scopes_supported: ['mcp', 'write'],
      });
    }
    const other = await callHttp({ url: `${rig.origin}/.well-known/oauth-authorization-server` });
    expect(other.status).toBe(404);
    expect(other.body).toContain(metadataUrl);
  });

  test('a request without a key or token is shown the way, without an error code', async () => {
    await start({ requiredScopes: ['mcp'] });
    const answer = await callHttp({ url: rig.url, method: 'POST' });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe(
      `Bearer realm="mcp", scope="mcp", resource_metadata="${metadataUrl}"`,
    );
  });

  test('a server with keys alone says 404 in JSON and names no metadata', async () => {
    rig = await startRig({ backends: [echoBackend()] });
    for (const path of ['', '/mcp']) {
      const answer = await callHttp({ url: `${rig.origin}/.well-known/oauth-protected-resource${path}` });
      expect(answer.status).toBe(404);
      expect(answer.headers['content-type']).toBe('application/json');
    }
    const refused = await callHttp({ url: rig.url, method: 'POST' });
    expect(String(refused.headers['www-authenticate'])).not.toContain('resource_metadata');
  });
});
