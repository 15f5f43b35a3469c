import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { escapeSettings, fillSettings } from '../../src/deployment/fill-settings.ts';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import type { Schema } from '../../src/deployment/schema-walk.ts';

const schema: Schema = deploymentSchema;

function parsed(text: string, env: Record<string, string>) {
  const found = parseDeployment(`version: 1\n${text}`, { file: 'x', env });
  if (!found.ok) throw new Error(JSON.stringify(found.problems));
  return found.deployment;
}

test.each([
  ['server: { workers: "${N}" }', { N: '3' }, { server: { workers: 3 } }],
  ['server: { workers: "${N}" }', { N: 'auto' }, { server: { workers: 'auto' } }],
  ['server: { metrics: "${ON}" }', { ON: 'false' }, { server: { metrics: false } }],
  ['name: "${NAME}"', { NAME: '123' }, { name: '123' }],
  ['limits: { perKey: { requests: "${R}" } }', { R: '50' }, { limits: { perKey: { requests: 50 } } }],
  ['limits: { perKey: "${R}" }', { R: 'off' }, { limits: { perKey: 'off' } }],
  ['limits: { tiers: { gold: { concurrencyPerKey: "${R}" } } }', { R: '7' }, { limits: { tiers: { gold: {} } } }],
  ['server: { keepAliveSeconds: "${S:-2.5}" }', {}, { server: { keepAliveSeconds: 2.5 } }],
  [
    'server: { listen: ["127.0.0.1:${A}", "[::1]:${A}"] }',
    { A: '1' },
    { server: { listen: ['127.0.0.1:1', '[::1]:1'] } },
  ],
  ['tls: { source: "${S}", names: ["${H}.local"] }', { S: 'private-ca', H: 'a' }, { tls: { names: ['a.local'] } }],
] as const)('%s with %j', (text, env, expected) => {
  expect(parsed(text, env)).toMatchObject(expected);
});

test('what may hold secrets, and commands, keep their references', () => {
  const text = `
redis: { url: "\${REDIS}" }
auth: { keys: [{ label: a, secret: "\${KEY}" }] }
logs: { traces: { endpoint: "http://\${H}/v1/traces", headers: { a: "\${KEY}" } }, errorHook: { command: ["sh", "-c", "echo \${KEY}"] } }
server:
  upstreams:
    a: { command: sh, args: ["-c", "run \${KEY}"], env: { K: "\${KEY}" } }
    b: { url: "http://\${H}/mcp", headers: { authorization: "Bearer \${KEY}" } }
`;
  const shown = JSON.stringify(parsed(text, { REDIS: 'canary-1', KEY: 'canary-2', H: 'host.example' }));
  expect(shown).not.toContain('canary');
  expect(shown.match(/\$\{KEY\}/g)).toHaveLength(6);
  expect(shown.match(/host\.example/g)).toHaveLength(2);
});

test('a variable that sounds like a secret is not written into files, and its value is not shown', () => {
  for (const name of ['API_TOKEN', 'DB_PASSWORD', 'OPENAI_API_KEY', 'SECRET', 'MY_APIKEY']) {
    const found = parseDeployment(`version: 1\nname: "\${${name}}"\n`, { file: 'x', env: { [name]: 'Canary!' } });
    expect(found).toMatchObject({ ok: false, problems: [{ path: 'name', line: 2, column: 7 }] });
    expect(JSON.stringify(found)).not.toContain('Canary');
  }
  expect(
    parsed('tls: { source: files, certificate: a, key: "${TLS_KEY_FILE}" }', { TLS_KEY_FILE: '/k' }),
  ).toMatchObject({ tls: { key: '/k' } });
});

test('all variables that are missing are named at their places, and nothing else is said of them', () => {
  const found = parseDeployment('version: 1\nname: ${A}\nserver:\n  workers: ${B}\n  listen: ${A}\n', { file: 'x' });
  expect(found).toMatchObject({
    ok: false,
    problems: [
      { path: 'name', line: 2, column: 7, unset: ['A'] },
      { path: 'server.workers', line: 4, column: 12, unset: ['B'] },
      { path: 'server.listen', line: 5, column: 11, unset: ['A'] },
    ],
  });
});

test('what a value holds is not filled a second time, also when it is written and read again', () => {
  const data = { version: 1, server: { path: '/${A}', upstreams: { a: { command: 'x', env: { B: '${B}' } } } } };
  expect(fillSettings(schema, data, { A: '${B}' }).data).toMatchObject({ server: { path: '/${B}' } });
  const written = escapeSettings({ ...data, server: { ...data.server, path: '/${B}' } });
  expect(written.server.path).toBe('/$${B}');
  expect(fillSettings(schema, written, { B: 'no' }).data).toMatchObject({
    server: { path: '/${B}', upstreams: { a: { env: { B: '${B}' } } } },
  });
});

test('a name of an object is no variable, and aliases stay apart', () => {
  expect(fillSettings(schema, { name: '${constructor:-x}' }, {}).data).toEqual({ name: 'x' });
  const data: unknown = parse('a: &a { b: "${X}" }\nc: *a\n');
  expect(fillSettings(schema, data, { X: '1' }).data).toEqual({ a: { b: '1' }, c: { b: '1' } });
  expect(data).toEqual({ a: { b: '${X}' }, c: { b: '${X}' } });
});
