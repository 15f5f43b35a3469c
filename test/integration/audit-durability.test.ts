import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AuditVerifier, type AuditVerdict } from '../../src/server/observe/audit-verify.ts';
import { listRotated } from '../../src/server/observe/append-file.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let bundle: string;
let folder: string;
let file: string;
const children: ChildProcess[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: 8 });

beforeAll(async () => {
  bundle = await buildServerBundle();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-durable-'));
  file = join(folder, 'audit.jsonl');
});
afterEach(async () => {
  for (const child of children.splice(0)) await ended(child, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

interface Served {
  readonly child: ChildProcess;
  readonly url: string;
  readonly stderr: () => string;
}

async function serve(logs: Record<string, unknown>): Promise<Served> {
  const config = join(folder, `server-${children.length}.yaml`);
  const server = { listen: '127.0.0.1:0', drainSeconds: 5 };
  const off = { perKey: 'off' };
  // The planner's form: a person's file cannot ask for any free port.
  const deployment = { version: 1, server, tls: { source: 'off' }, auth: { required: false }, limits: off, logs };
  writeFileSync(config, JSON.stringify({ deployment, baseDir: folder, keyStoreFile: null }));
  const child = spawn(process.execPath, [bundle, '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await waitUntil(() => stdout.includes('listening ') || child.exitCode !== null, 20_000, `the server (${stderr})`);
  if (child.exitCode !== null) throw new Error(stderr);
  return { child, url: /listening (\S+)/.exec(stdout)?.[1] ?? '', stderr: () => stderr };
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const done = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await done;
}

/** HTTP status of one tool call; 0 when the connection broke. */
function callTool(url: string, id: number): Promise<{ status: number; body: string }> {
  const body = JSON.stringify({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name: 'echo', arguments: { message: 'x' } },
  });
  return new Promise((resolve) => {
    const req = request(url, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    });
    req.on('response', (res) => {
      let text = '';
      res.on('data', (chunk: Buffer) => (text += chunk.toString()));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: text }));
      res.on('error', () => resolve({ status: 0, body: '' }));
    });
    req.on('error', () => resolve({ status: 0, body: '' }));
    req.end(body);
  });
}

/** Calls until the server is gone; ids that were answered well, with the time of the answer. */
function load(url: string): { readonly answered: Map<number, number>; readonly stopped: Promise<unknown> } {
  const answered = new Map<number, number>();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const id = next++;
      const { status } = await callTool(url, id);
      if (status !== 200) return;
      answered.set(id, performance.now());
    }
  };
  return { answered, stopped: Promise.all(Array.from({ length: 8 }, worker)) };
}

const filesOf = (): string[] => [...listRotated(file), file].filter(existsSync);

function idsWritten(): Set<number> {
  const ids = new Set<number>();
  for (const path of filesOf()) {
    for (const line of readFileSync(path, 'utf8').split('\n').slice(0, -1)) {
      if (line.endsWith('}')) ids.add((JSON.parse(line) as { id: number }).id);
    }
  }
  return ids;
}

function verify(): AuditVerdict {
  const verifier = new AuditVerifier({ key: null });
  for (const path of filesOf()) {
    verifier.startFile(path);
    let at = 0;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      const end = at + Buffer.byteLength(line) + 1;
      verifier.takeLine(line, at, end);
      at = end;
    }
  }
  return verifier.finish();
}

test('SIGTERM under load loses no line of a call that was answered', async () => {
  const { child, url } = await serve({ audit: file });
  const { answered, stopped } = load(url);
  await waitUntil(() => answered.size > 300, 20_000, '300 calls');
  await ended(child, 'SIGTERM');
  await stopped;
  const written = idsWritten();
  expect([...answered.keys()].filter((id) => !written.has(id))).toEqual([]);
  expect(verify().breaks).toBe(0);
});

test('SIGKILL under load loses calls of the flush interval only, and the next start goes on behind them', async () => {
  const { child, url } = await serve({ audit: file, auditFlushMs: 50 });
  const { answered, stopped } = load(url);
  await waitUntil(() => answered.size > 300, 20_000, '300 calls');
  const killedAtMs = performance.now();
  await ended(child, 'SIGKILL');
  await stopped;
  const written = idsWritten();
  const lost = [...answered].filter(([id]) => !written.has(id)).map(([, atMs]) => killedAtMs - atMs);
  // The client's clock and a busy machine are in this figure as well: ten times the interval.
  expect(Math.max(0, ...lost)).toBeLessThan(500);
  const again = await serve({ audit: file });
  await callTool(again.url, 1_000_000);
  await ended(again.child, 'SIGTERM');
  expect(idsWritten().has(1_000_000)).toBe(true);
  expect(verify().breaks).toBe(0);
});

test('servers that share a file and rotate it under load lose and tear no line', async () => {
  const logs = { audit: file, auditFlushMs: 5, auditRotate: { megabytes: 0.02 } };
  const servers = await Promise.all([serve(logs), serve(logs), serve(logs)]);
  const count = 400;
  let rotations = 0;
  await Promise.all(
    servers.map(async ({ url }, index) => {
      for (let id = 0; id < count; id += 4) {
        await Promise.all([0, 1, 2, 3].map((offset) => callTool(url, index * 10_000 + id + offset)));
        // The size is looked at every second: as long as it takes.
        if (id === count / 2)
          await waitUntil(
            () => {
              void callTool(url, 100_000 + index);
              return listRotated(file).length >= 2;
            },
            20_000,
            'rotations',
          );
        rotations = listRotated(file).length;
      }
    }),
  );
  for (const { child } of servers) await ended(child, 'SIGTERM');
  expect(rotations).toBeGreaterThanOrEqual(2);
  const written = idsWritten();
  for (const index of [0, 1, 2])
    for (let id = 0; id < count; id += 1) expect(written.has(index * 10_000 + id)).toBe(true);
  expect(verify()).toMatchObject({ breaks: 0, torn: 0, lost: 0, beginningsElsewhere: 0 });
}, 60_000);

/** Only root may mount; elsewhere the same is shown by /dev/full and the limit on file sizes. */
const mayMount = process.platform === 'linux' && process.getuid?.() === 0 && canMount();
function canMount(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'mcpd-mount-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place]).status === 0;
  if (mounted) spawnSync('umount', [place]);
  rmSync(place, { recursive: true, force: true });
  return mounted;
}

describe.runIf(mayMount)('on a disk of its own', () => {
  let disk: string;
  beforeEach(() => {
    disk = join(folder, 'disk');
    mkdirSync(disk);
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', disk]).status).toBe(0);
    file = join(disk, 'audit.jsonl');
  });
  afterEach(async () => {
    for (const child of children.splice(0)) await ended(child, 'SIGKILL');
    spawnSync('umount', ['-l', disk]);
  });
  const ballast = (): string => join(disk, 'ballast');
  /** Leaves less than a page free. */
  const fill = (): void =>
    void spawnSync('dd', ['if=/dev/zero', `of=${ballast()}`, 'bs=4k', 'count=64'], { stdio: 'ignore' });
  const metrics = async (url: string): Promise<string> => (await fetch(url.replace('/mcp', '/metrics'))).text();

  test('fail-closed: full disk gives 503, and calls go on by themselves when there is room again; no line is lost', async () => {
    const { child, url, stderr } = await serve({ audit: file, auditFlushMs: 5, auditFailure: 'fail-closed' });
    const answered: number[] = [];
    let id = 0;
    expect((await callTool(url, id)).status).toBe(200);
    answered.push(id++);
    fill();
    let refused = { status: 0, body: '' };
    await waitUntil(
      async () => {
        refused = await callTool(url, id);
        if (refused.status === 200) answered.push(id++);
        return refused.status === 503;
      },
      20_000,
      'a refusal',
    );
    const readiness = (): Promise<Response> => fetch(url.replace('/mcp', '/readyz'));
    const blocked = await readiness();
    expect(blocked.status).toBe(503);
    expect(await blocked.json()).toMatchObject({ status: 'audit-blocked' });
    expect(JSON.parse(refused.body)).toMatchObject({ status: 503, title: 'Service Unavailable' });
    expect(refused.body).toContain('writes down every call');
    expect(stderr().match(/audit\.dropping/g)).toHaveLength(1);
    expect(await metrics(url)).toContain('mcp_errors_total{kind="audit"}');
    rmSync(ballast());
    // By itself: who is not ready gets no calls.
    await waitUntil(async () => (await readiness()).status === 200, 20_000, 'ready again');
    await waitUntil(async () => (await callTool(url, 500_000)).status === 200, 20_000, 'calls again');
    expect(stderr()).toContain('audit.writing-again');
    await ended(child, 'SIGTERM');
    const written = idsWritten();
    expect(answered.filter((each) => !written.has(each))).toEqual([]);
    expect(verify()).toMatchObject({ breaks: 0, lost: 0 });
  });

  test('fail-open: calls go on, lost lines are counted, and the next line says how many', async () => {
    const { child, url } = await serve({ audit: file, auditFlushMs: 5 });
    await callTool(url, 0);
    fill();
    let id = 1;
    await waitUntil(
      async () => {
        expect((await callTool(url, id++)).status).toBe(200);
        return !(await metrics(url)).includes('mcp_audit_dropped_total 0');
      },
      20_000,
      'lost lines',
    );
    rmSync(ballast());
    await waitUntil(
      async () => {
        await callTool(url, id++);
        return idsWritten().has(id - 2);
      },
      20_000,
      'lines again',
    );
    await ended(child, 'SIGTERM');
    const verdict = verify();
    expect(verdict.breaks).toBe(0);
    expect(verdict.lost).toBeGreaterThan(0);
    expect(verdict.lost + idsWritten().size).toBe(id);
  });

  test('a read-only disk stops the start with what to do', async () => {
    writeFileSync(file, '');
    expect(spawnSync('mount', ['-o', 'remount,ro', disk]).status).toBe(0);
    await expect(serve({ audit: file })).rejects.toThrow(/audit file .* cannot be written[\s\S]*EROFS[\s\S]*writable/);
    expect(children[0]?.exitCode).toBe(3);
  });
});
