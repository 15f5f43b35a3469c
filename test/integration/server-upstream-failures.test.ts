import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fixture, isAlive } from '../fixtures/upstreams/backend-calls.ts';
import { startLegacyFixture } from '../fixtures/upstreams/http-servers.ts';
import { firstKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { issueOdd } from '../helpers/odd-certificates.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let folder: string;
let rig: ServerRig | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-failures-'));
});
afterEach(async () => {
  await rig?.stop();
  rig = null;
  rmSync(folder, { recursive: true, force: true });
});

const bearer = { authorization: `Bearer ${firstKey}` };
const program = fixture('server.mjs');

async function start(upstreams: Record<string, object>): Promise<ServerRig> {
  const started = await startRig({ server: { upstreams } as never });
  rig = started;
  await waitUntil(() => started.server.registry.ready(), 15_000, 'the upstreams serve');
  return started;
}

async function call(on: ServerRig, session: string, name: string, args: object = {}): Promise<string> {
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
  return (await on.post(message, { 'mcp-session-id': session })).body;
}

describe('an upstream that is killed in the middle of a call', () => {
  test('fails that call alone, is not ready until its next process serves, and then answers again', async () => {
    const pids = join(folder, 'pids');
    const child = { command: process.execPath, args: [program] };
    const server = await start({ a: { ...child, env: { FIXTURE_PID_FILE: pids } } });
    const session = await server.initialize();
    const calling = call(server, session, 'slow', { ms: 60_000 });
    await waitUntil(() => server.server.registry.backends[0]?.inFlight === 1, 5_000, 'the call');
    const ready = async (): Promise<number> => (await server.call({ path: '/readyz', headers: {} })).status;
    expect(await ready()).toBe(200);
    process.kill(Number(readFileSync(pids, 'utf8').trim()), 'SIGKILL');
    expect(await calling).toContain('outcome unknown');
    expect(await ready()).toBe(503);
    expect(await call(server, session, 'echo', { message: 'again' })).toContain('again');
    expect(await ready()).toBe(200);
  });

  test('takes no call of another upstream with it', async () => {
    const pids = join(folder, 'pids');
    const child = { command: process.execPath, args: [program] };
    const server = await start({ a: { ...child, env: { FIXTURE_PID_FILE: pids } }, b: child });
    const session = await server.initialize();
    const lost = call(server, session, 'a__slow', { ms: 60_000 });
    const kept = call(server, session, 'b__slow', { ms: 1_000 });
    await waitUntil(() => server.server.registry.backends.every(({ inFlight }) => inFlight === 1), 5_000, 'both calls');
    process.kill(Number(readFileSync(pids, 'utf8').trim()), 'SIGKILL');
    expect(await lost).toContain('outcome unknown');
    expect(await kept).not.toContain('"error"');
  });
});

test('an upstream whose certificate has expired is down with that reason, and the other one answers', async () => {
  const day = 86_400_000;
  const { certificatePem, keyPem } = await issueOdd({
    commonName: 'localhost',
    names: ['localhost'],
    notBefore: new Date(Date.now() - 9 * day),
    notAfter: new Date(Date.now() - day),
  });
  writeFileSync(join(folder, 'ca.pem'), certificatePem);
  const far = await startLegacyFixture({ tls: { cert: certificatePem, key: keyPem } });
  try {
    const server = await start({
      far: { url: far.url, caFile: join(folder, 'ca.pem') },
      near: { command: process.execPath, args: [program] },
    });
    const session = await server.initialize();
    expect(await call(server, session, 'near__echo', { message: 'still here' })).toContain('still here');
    const state = server.server.registry.backends.find(({ name }) => name === 'far')?.state;
    expect(JSON.stringify(state)).toMatch(/expired/i);
  } finally {
    await far.stop();
  }
});

test('a session that ends takes the whole process tree of its upstream with it, and no other', async () => {
  const throughShell = { command: 'sh', args: ['-c', `"${process.execPath}" "${program}"; exit $?`] };
  const server = await start({ up: { ...throughShell, instances: 'per-session' } });
  const [mine, other] = [await server.initialize(), await server.initialize()];
  const pidsOf = async (session: string): Promise<number[]> => {
    const texts = [
      await call(server, session, 'pid'),
      await call(server, session, 'fork'),
      await call(server, session, 'fork', { setsid: true }),
    ];
    return texts.map((text) => Number(JSON.parse(text).result.content[0].text));
  };
  const [gone, kept] = [await pidsOf(mine), await pidsOf(other)];
  await server.call({ method: 'DELETE', headers: { ...bearer, 'mcp-session-id': mine } });
  const alive = async (pids: readonly number[]): Promise<boolean[]> => Promise.all(pids.map((pid) => isAlive(pid)));
  await waitUntil(async () => !(await alive(gone)).includes(true), 15_000, 'the end of the tree');
  expect(await alive(kept)).toEqual([true, true, true]);
}, 40_000);

test('clients of a shared upstream are answered initialize here: the upstream hears it once', async () => {
  const file = join(folder, 'counting.cjs');
  writeFileSync(
    file,
    `let count = 0;
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { id, method, params } = JSON.parse(line);
      const send = (result) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n');
      if (method === 'initialize') { count++; send({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'c', version: '1' } }); }
      else if (method === 'tools/call') send({ content: [{ type: 'text', text: 'initialized ' + count }] });
      else if (id !== undefined) send({ tools: [{ name: 'count', inputSchema: { type: 'object' } }] });
    });`,
  );
  const server = await start({ up: { command: process.execPath, args: [file] } });
  const sessions = await Promise.all(Array.from({ length: 20 }, () => server.initialize()));
  expect(new Set(sessions).size).toBe(20);
  for (const session of sessions) expect(await call(server, session, 'count')).toContain('initialized 1"');
});

test('a session id of 2 MB is refused and the server goes on', async () => {
  const server = await start({ up: { command: process.execPath, args: [program] } });
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
  const sent = server
    .call({ method: 'POST', headers: { ...bearer, 'mcp-session-id': 'x'.repeat(2_000_000) }, body })
    .then(
      ({ status }) => status,
      // The connection can be closed while the head is still being sent.
      () => 431,
    );
  expect(await sent).toBe(431);
  expect(await call(server, await server.initialize(), 'echo', { message: 'on' })).toContain('on');
});
