import { describe, expect, test } from 'vitest';
import { redactText } from '../../src/deployment/redact-text.ts';

const canary = 'CANARY7f3a9d21e6b4c8';
const pem = `-----BEGIN EC PRIVATE KEY-----\n${'MHcCAQEEIBtv'.repeat(5)}AAAA\n${canary}\n-----END EC PRIVATE KEY-----`;

describe('what has the form of a secret is hidden, whoever wrote it', () => {
  test.each([
    `Authorization: Bearer ${canary}`,
    `authorization: "Bearer ${canary}"`,
    `{"authorization":"Bearer ${canary}"}`,
    String.raw`{\"authorization\":\"Bearer ${canary}\"}`,
    `x-api-key: ${canary}`,
    `{"x-api-key":"${canary}"}`,
    `proxy_set_header Authorization "Bearer ${canary}";`,
    `proxy_set_header X-Api-Key ${canary};`,
    `http-request set-header Authorization Basic\\ ${canary}`.replace('\\ ', ' '),
    `Cookie: session=${canary}`,
    `redis://user:${canary}@redis:6379/0`,
    `redis://:${canary}@redis:6379/0`,
    `https://${canary}@host/`,
    `https://host/mcp?api_key=${canary}&v=1`,
    `GET /mcp?access_token=${canary} HTTP/1.1`,
    `passphrase: ${canary}`,
    `  password: "${canary} with \\" more"`,
    `"client_secret": "${canary}"`,
    `DATABASE_PASSWORD=${canary}`,
    `export OPENAI_API_KEY='${canary}'`,
    `server --api-key ${canary} --port 1`,
    `server --token=${canary}`,
    `key mcpd_${canary} was refused`,
    pem,
    JSON.stringify({ message: pem }),
    pem.slice(0, -40),
    pem.slice(30),
    `ghp_${canary}abcdef`,
  ])('%s', (text) => {
    expect(redactText(text, [])).not.toContain(canary);
  });

  test('a known secret is hidden in every way it may be written', () => {
    const secret = `p4ss "wörd"/${canary}`;
    const ways = [
      secret,
      JSON.stringify(secret),
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('base64url'),
      Buffer.from(secret).toString('hex'),
    ];
    for (const way of ways) {
      const safe = redactText(`before ${way} after`, [secret]);
      expect(safe).not.toContain(way);
      expect(safe).toMatch(/^before .*after$/);
    }
  });

  test.each([
    'proxy_pass http://127.0.0.1:8080;',
    'the key "default" is old',
    'key/none-refused   the server answers callers without a key',
    'passphraseFile: /etc/x/pass',
    'token: ${TOKEN}',
    '{"msg":"listening","url":"https://localhost:8443/mcp"}',
    'fingerprint AA:BB:CC',
  ])('what is no secret stays: %s', (text) => {
    expect(redactText(text, [])).toBe(text);
  });

  test.each([
    'a',
    'Bearer ',
    '-----BEGIN PRIVATE KEY-----',
    'password=',
    '"\\"',
    `${'A'.repeat(63)}\n`,
    'x://',
    '?key',
    'password="',
  ])(
    'a long text of %j takes no long time',
    (unit) => {
      expect(redactText(unit.repeat(Math.ceil(300_000 / unit.length)), ['secret-of-mine']).length).toBeGreaterThan(0);
    },
    10_000,
  );
});
