import { readFileSync } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createFetch } from '../../src/doctor/probes/https-fetch.ts';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { snapshotTree } from '../helpers/tree.ts';
import { waitUntil } from '../helpers/wait-until.ts';

interface UpDocument {
  readonly changed: boolean;
  readonly url: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly pid: number;
  readonly verified: { modern: boolean; legacy: boolean; called: { tool: string } | null } | null;
}

test('up, a second up, status, logs, stop, start, restart, doctor and uninstall, as a stranger would', async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'mine.txt'), 'mine\n');
    const before = await snapshotTree(folder);
    const cli = (...args: string[]) => runBin(args, { cwd: folder });

    const up = documentOf<UpDocument>(await cli('up', '--json'));
    expect(up.verified).toMatchObject({ modern: true, legacy: true, called: { tool: 'echo' } });
    expect((await stat(up.keyFile)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, '.mcp-deploy/pki/ca.key'))).mode & 0o777).toBe(0o400);
    expect(await readFile(join(folder, '.mcp-deploy/.gitignore'), 'utf8')).toBe('*\n');
    const key = (await readFile(up.keyFile, 'utf8')).trim();
    expect(await readFile(join(folder, '.mcp-deploy/keys/keys.json'), 'utf8')).not.toContain(key);

    // Other versions of mcp-deploy leave other schemas for editors; up puts its own there also when nothing else is to do.
    const schema = join(folder, '.mcp-deploy/mcp-deploy.schema.json');
    const own = await readFile(schema, 'utf8');
    expect(own).toContain('"title": "mcp-deploy.yaml"');
    expect(await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8')).toMatch(
      /^# yaml-language-server: \$schema=\.mcp-deploy\/mcp-deploy\.schema\.json\n/,
    );
    const afterFirst = await snapshotTree(folder);
    await writeFile(schema, '{}');
    const again = await cli('up', '--json');
    expect(documentOf<UpDocument>(again)).toMatchObject({ changed: false, pid: up.pid });
    expect(await snapshotTree(folder)).toEqual(afterFirst);
    expect((await cli('up')).stdout).toContain('Nothing to do');
    expect((await cli('plan', '--check')).exitCode).toBe(0);

    expect((await cli('status')).stdout).toMatch(/running, pid \d+/);
    expect(documentOf(await cli('status', '--json'))).toMatchObject({ server: { state: 'running', pid: up.pid } });
    expect((await cli('logs')).stdout).toContain('listening');
    expect((await cli('cert', 'show')).stdout).toContain('localhost');
    expect((await cli('history')).stdout).toContain('live');

    const doctor = await cli('doctor', '--json');
    expect(documentOf(doctor)).toMatchObject({ ok: true, rootCause: null, findings: [] });

    expect((await cli('stop')).exitCode).toBe(0);
    expect(documentOf(await cli('status', '--json'))).toMatchObject({ server: { state: 'stopped' } });
    expect((await cli('stop')).stdout).toContain('not running');
    expect((await cli('doctor')).exitCode).toBe(1);
    expect((await cli('start')).exitCode).toBe(0);
    const started = documentOf<{ server: { pid: number } }>(await cli('status', '--json'));
    expect((await cli('restart')).exitCode).toBe(0);
    const restarted = documentOf<{ server: { pid: number } }>(await cli('status', '--json'));
    expect(restarted.server.pid).not.toBe(started.server.pid);

    const refused = await cli('uninstall');
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('--yes');
    expect((await cli('uninstall', '--yes')).exitCode).toBe(0);
    expect(await snapshotTree(folder)).toEqual(before);
    expect(isAlive(restarted.server.pid)).toBe(false);
    expect((await cli('uninstall', '--yes')).stdout).toContain('Nothing to remove');
  });
}, 120_000);

test('a key works at once, rotates with an overlap, and is refused within a second of its revocation without a restart', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const up = documentOf<UpDocument>(await cli('up', '--json'));
    const fetch = createFetch({ caPem: await readFile(up.caFile, 'utf8'), timeoutMs: 5_000 });
    const answerTo = async (key: string): Promise<number> => {
      const response = await fetch(up.url, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${key}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'initialize',
          params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } },
        }),
      });
      await response.text();
      return response.status;
    };

    const made = documentOf<{ key: string }>(await cli('keys', 'create', 'laptop', '--json'));
    expect(Buffer.from(made.key.replace(/^mcpd_/, ''), 'base64url').length).toBe(32);
    await waitUntil(async () => (await answerTo(made.key)) === 200, 1_000);

    const duplicate = await cli('keys', 'create', 'laptop');
    expect(duplicate.exitCode).toBe(2);

    const rotated = documentOf<{ key: string }>(await cli('keys', 'rotate', 'laptop', '--json'));
    await waitUntil(async () => (await answerTo(rotated.key)) === 200, 1_000);
    expect(await answerTo(made.key)).toBe(200);
    expect((await cli('keys', 'list')).stdout).toContain('laptop');
    expect((await cli('keys', 'list')).stdout).not.toContain(rotated.key);

    expect((await cli('keys', 'revoke', 'laptop')).exitCode).toBe(0);
    await waitUntil(async () => (await answerTo(rotated.key)) === 401, 1_000);
    expect(await answerTo(made.key)).toBe(401);
    expect(documentOf(await cli('status', '--json'))).toMatchObject({ server: { pid: up.pid } });

    const unknown = await cli('keys', 'revoke', 'nobody');
    expect(unknown.exitCode).toBe(2);
    expect(unknown.stderr).toContain('nobody');
  });
}, 60_000);

test('a taken port 8443 gives another free one, and says so', async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => {
    holder.once('error', () => resolve());
    holder.listen(8443, '127.0.0.1', resolve);
  });
  try {
    await withFolder(async (folder) => {
      const up = await runBin(['up'], { cwd: folder });
      expect(up.exitCode).toBe(0);
      expect(up.stderr).toMatch(/8443 is taken/);
      expect(up.stdout).not.toContain('localhost:8443/');
    });
  } finally {
    holder.close();
  }
}, 60_000);

/** A zombie is not alive: in a container without an init nobody collects it. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('a deployment file that is the user’s own stays after uninstall, also when up edited it or the user did after up', async () => {
  await withFolder(async (folder) => {
    const file = join(folder, 'mcp-deploy.yaml');
    const cli = (...args: string[]) => runBin(args, { cwd: folder });

    const [port] = await freePorts(1);
    const mine = `# mine\nversion: 1\nname: mine\nserver:\n  listen: localhost:${port}\n`;
    await writeFile(file, mine);
    expect((await cli('up')).exitCode).toBe(0);
    expect((await cli('up', '--name', 'other')).exitCode).toBe(0);
    expect((await cli('uninstall', '--yes')).exitCode).toBe(0);
    expect(await readFile(file, 'utf8')).toBe(mine.replace('name: mine', 'name: other'));
    await rm(file);

    expect((await cli('up')).exitCode).toBe(0);
    const written = await readFile(file, 'utf8');
    await writeFile(file, `# a note of mine\n${written.replace('drainSeconds: 30', 'drainSeconds: 5')}`);
    expect((await cli('apply')).exitCode).toBe(0);
    const gone = await cli('uninstall', '--yes');
    expect(gone.exitCode).toBe(0);
    expect(gone.stdout + gone.stderr).toContain('mcp-deploy.yaml was changed since it was written; it stays');
    expect(await readFile(file, 'utf8')).toContain('# a note of mine');
  });
}, 60_000);

test('status, doctor and stop are about what runs, also while mcp-deploy.yaml is edited or broken', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const up = documentOf<UpDocument>(await cli('up', '--json'));
    await writeFile(join(folder, 'mcp-deploy.yaml'), 'version: 1\nserver: [broken\n');
    expect(documentOf(await cli('status', '--json'))).toMatchObject({ url: up.url, server: { state: 'running' } });
    expect((await cli('doctor')).exitCode).toBe(0);
    expect((await cli('apply')).exitCode).toBe(2);
    expect((await cli('stop')).exitCode).toBe(0);
    expect((await cli('start')).exitCode).toBe(0);
    expect(documentOf(await cli('status', '--json'))).toMatchObject({ url: up.url, server: { state: 'running' } });
  });
}, 60_000);
