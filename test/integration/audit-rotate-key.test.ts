import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { documentOf, runBin, runProgram } from '../helpers/cli.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe, type Served } from '../helpers/served.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// audit rotate-key by the built command line, beside a server that runs.

let folder = '';
const served: Served[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-rotate-'));
});
afterEach(async () => {
  await endServed(served.splice(0));
  rmSync(folder, { recursive: true, force: true });
});

const wish = `version: 1
name: sealed
server: { listen: '127.0.0.1:8443' }
tls: { source: 'off' }
auth: { required: false }
logs: { audit: audit.jsonl, auditKeyFile: audit.key }
`;
const lines = (): string[] => readFileSync(join(folder, 'audit.jsonl'), 'utf8').trimEnd().split('\n');
const verify = async (...args: string[]) => runBin(['audit', 'verify', '--json', ...args], { cwd: folder });

test('a running server seals with the next key, old and new lines are verified in one go, and an edited line is found in both', async () => {
  const oldKey = 'a-secret-of-the-chain-0123456789';
  const [port = 0] = await freePorts(1);
  writeFileSync(join(folder, 'mcp-deploy.yaml'), wish.replace('8443', String(port)));
  writeFileSync(join(folder, 'audit.key'), `${oldKey}\n`, { mode: 0o640 });
  const server = spawnServe(await buildServerBundle(), folder, ['--config', 'mcp-deploy.yaml']);
  served.push(server);
  const url = await server.listening();
  const call = async (): Promise<void> => {
    const message = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'echo', arguments: { message: 'x' } },
    };
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const { status } = await callHttp({ url, method: 'POST', headers, body: JSON.stringify(message) });
    expect(status).toBe(200);
  };
  await call();
  await waitUntil(() => lines().length === 1, 10_000, 'the first line');
  const rotated = documentOf<{ keyId: string; formerKeyId: string }>(
    await runBin(['audit', 'rotate-key', '--json'], { cwd: folder }),
  );
  expect(lines()[0]).toContain(`"mac_key":"${rotated.formerKeyId}"`);
  expect(readFileSync(join(folder, 'audit.key'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
  expect(readFileSync(join(folder, 'audit.key.former'), 'utf8')).toContain(Buffer.from(oldKey).toString('base64'));
  expect([statSync(join(folder, 'audit.key')).mode, statSync(join(folder, 'audit.key.former')).mode]).toEqual([
    0o100640, 0o100600,
  ]);
  await waitUntil(
    async () => {
      await call();
      return readFileSync(join(folder, 'audit.jsonl'), 'utf8').includes(`"mac_key":"${rotated.keyId}"`);
    },
    20_000,
    'a line of the next key',
  );
  expect(documentOf(await verify())).toMatchObject({ ok: true, breaks: 0 });
  expect(documentOf(await verify('audit.jsonl', '--key-file', 'audit.key'))).toMatchObject({ breaks: 0 });

  server.child.kill('SIGTERM');
  expect(await server.exit).toBe(0);
  const written = lines();
  for (const at of [0, written.length - 1]) {
    const edited = written.map((line, index) => (index === at ? line.replace('"echo"', '"else"') : line));
    writeFileSync(join(folder, 'audit.jsonl'), `${edited.join('\n')}\n`);
    const { firstBreaks } = documentOf<{ firstBreaks: { kind: string; line: number }[] }>(await verify(), 1);
    expect(firstBreaks[0]).toMatchObject({ kind: 'changed', line: at + 1 });
  }
  const { file } = documentOf<{ file: string }>(
    await runBin(['backup', 'create', '--in-clear', '--out', 'kept', '--json'], { cwd: folder }),
  );
  expect((await runProgram('tar', ['tzf', file], { cwd: folder })).stdout).toContain('beside/audit.key.former');
  rmSync(join(folder, 'audit.key.former'));
  writeFileSync(join(folder, 'audit.jsonl'), `${written.join('\n')}\n`);
  expect(documentOf<{ firstBreaks: object[] }>(await verify(), 1).firstBreaks[0]).toMatchObject({ kind: 'wrong-key' });
}, 60_000);

test('what cannot be rotated is refused in one sentence with the next command, and nothing changes', async () => {
  writeFileSync(join(folder, 'mcp-deploy.yaml'), wish.replace(', auditKeyFile: audit.key', ''));
  const without = await runBin(['audit', 'rotate-key'], { cwd: folder });
  expect([without.exitCode, without.stderr]).toEqual([2, expect.stringContaining('openssl rand -hex 32')]);
  writeFileSync(join(folder, 'mcp-deploy.yaml'), wish);
  const missing = await runBin(['audit', 'rotate-key'], { cwd: folder });
  expect([missing.exitCode, missing.stderr]).toEqual([3, expect.stringContaining('cannot be read')]);
  writeFileSync(join(folder, 'elsewhere'), 'a-secret-of-the-chain-0123456789\n');
  symlinkSync('elsewhere', join(folder, 'audit.key'));
  const link = await runBin(['audit', 'rotate-key'], { cwd: folder });
  expect([link.exitCode, link.stderr]).toEqual([2, expect.stringContaining('is no plain file')]);
  expect(readFileSync(join(folder, 'elsewhere'), 'utf8')).toBe('a-secret-of-the-chain-0123456789\n');
}, 60_000);
