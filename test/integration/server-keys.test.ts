import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createKeyIn, parseKeyStore, revokeKeyIn, rotateKeyIn } from '../../src/server/policy/key-store.ts';
import { echoBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import { readEvents, type EventReader } from '../helpers/read-events.ts';
import { modernRequest, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };

let folder: string;
let storeFile: string;
let store: string;
let key: string;
let otherKey: string;
let rig: ServerRig;
let backend: FakeBackend;

/** As the command line does it: written beside and renamed. */
function writeStore(text: string): void {
  writeFileSync(`${storeFile}.new`, text);
  renameSync(`${storeFile}.new`, storeFile);
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-keys-'));
  storeFile = join(folder, 'keys.json');
  const now = new Date().toISOString();
  const first = createKeyIn(null, { label: 'first', now });
  const second = createKeyIn(first.storeText, { label: 'second', now });
  [store, key, otherKey] = [second.storeText, first.key, second.key];
  writeStore(store);
  backend = echoBackend();
  rig = await startRig({ backends: [backend], keyStoreFile: storeFile });
});
afterEach(async () => {
  await rig.stop();
  rmSync(folder, { recursive: true, force: true });
});

const listen = (bearer: string): Promise<EventReader> => {
  const { message, headers } = modernRequest(1, 'subscriptions/listen', { notifications: { toolsListChanged: true } });
  return readEvents({
    url: rig.url,
    method: 'POST',
    headers: {
      authorization: `Bearer ${bearer}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify(message),
  });
};

test('a revoked key is refused within a second, its streams and sessions end, and other keys notice nothing', async () => {
  const session = await rig.initialize({ key });
  const stream = await readEvents({
    url: rig.url,
    headers: { authorization: `Bearer ${key}`, 'mcp-session-id': session },
  });
  const [revoked, kept] = [await listen(key), await listen(otherKey)];
  await Promise.all([revoked.take(1), kept.take(1)]);

  writeStore(revokeKeyIn(store, { labelOrId: 'first', now: new Date().toISOString() }).storeText);
  const refused = async (): Promise<boolean> =>
    (await rig.post(list, { authorization: `Bearer ${key}` })).status === 401;
  await waitUntil(refused, 1_000, 'the refusal');
  await waitUntil(() => stream.ended && revoked.ended, 5_000, 'the end of the streams');
  expect(backend.endedSessions).toContain(session);

  expect((await rig.post(list, { authorization: `Bearer ${otherKey}` })).status).toBe(200);
  backend.listChanged('tools');
  await kept.take(2);
  kept.close();
});

test('a new salt reaches a running server key by key: old and new work, then the old one and its salt are gone', async () => {
  const status = async (bearer: string): Promise<number> =>
    (await rig.post(list, { authorization: `Bearer ${bearer}` })).status;
  const becomes = (bearer: string, wanted: number, what: string): Promise<void> =>
    waitUntil(async () => (await status(bearer)) === wanted, 5_000, what);
  const now = (): string => new Date().toISOString();
  const oldSalt = parseKeyStore(store).salt;

  const first = rotateKeyIn(store, { label: 'first', overlapSeconds: 3_600, now: now(), newSalt: true });
  writeStore(first.storeText);
  await becomes(first.key, 200, 'the new key of another salt');
  expect([await status(key), await status(otherKey)]).toEqual([200, 200]);

  const second = rotateKeyIn(first.storeText, { label: 'second', overlapSeconds: 0, now: now() });
  writeFileSync(storeFile, second.storeText.slice(0, -40));
  expect(await status(otherKey)).toBe(200);
  writeStore(second.storeText);
  await becomes(otherKey, 401, 'the end of the second key');
  expect([await status(key), await status(first.key), await status(second.key)]).toEqual([200, 200, 200]);

  const ended = rotateKeyIn(second.storeText, { label: 'first', overlapSeconds: 0, now: now() });
  const last = createKeyIn(ended.storeText, { label: 'third', now: new Date(Date.now() + 1).toISOString() });
  expect(last.storeText).not.toContain(oldSalt);
  writeStore(last.storeText);
  await becomes(last.key, 200, 'a key of a file with one salt again');
  // A key that the file does not know any more counts as a guess, and guesses are slowed down.
  expect((await Promise.all([key, otherKey].map(status))).every((code) => code === 401 || code === 429)).toBe(true);
  expect(await Promise.all([first.key, ended.key, second.key].map(status))).toEqual([401, 200, 200]);
});

test('a half-written key file leaves the old keys in force', async () => {
  writeStore(store.slice(0, store.length / 2));
  await rig.server.reload();
  expect((await rig.post(list, { authorization: `Bearer ${key}` })).status).toBe(200);
  expect(rig.log.join('')).toMatch(/config\.refused.*key file/);
});

test('a flood of wrong keys reaches no backend, is slowed down, and fills no log', async () => {
  let backedOff = 0;
  for (let count = 0; count < 60; count++) {
    const { status, headers } = await rig.post(
      { ...list, method: 'tools/call' },
      { authorization: `Bearer guess-${count}-0123456789abcdef` },
    );
    if (status === 429 && Number(headers['retry-after']) > 0) backedOff++;
    else expect(status).toBe(401);
  }
  expect(backedOff).toBeGreaterThan(0);
  expect(backend.open).toHaveLength(0);
  expect(rig.log.filter((line) => line.includes('key.refused')).length).toBeLessThan(10);
  expect((await rig.post(list, { authorization: `Bearer ${key}` })).status).toBe(200);
});

test('no key shows in the log, the metrics or the status', async () => {
  await rig.post({ ...list, method: 'tools/call', params: { name: key } }, { authorization: `Bearer ${key}` });
  const shown = await Promise.all(['/metrics', '/status', '/readyz'].map((path) => rig.call({ path, headers: {} })));
  for (const text of [rig.log.join(''), ...shown.map(({ body }) => body)]) expect(text).not.toContain(otherKey);
  expect(rig.log.join('')).not.toContain(key);
});
