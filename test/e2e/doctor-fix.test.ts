import { chmod, mkdtemp, readFile, readdir, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { binFile, documentOf, runBin, runProgram, type CliResult } from '../helpers/cli.ts';

interface Fixed {
  readonly ok: boolean;
  readonly findings: readonly { readonly code: string }[];
  readonly fix?: { readonly done: string[]; readonly healed: string[]; readonly left: string[] };
}

let cwd = '';
const inState = (path: string): string => join(cwd, '.mcp-deploy', path);
const doctor = (...args: string[]): Promise<CliResult> =>
  runBin(['doctor', '--json', '--only', 'host,tls,health', ...args], { cwd });
const fix = async (exitCode = 0): Promise<Fixed> => documentOf<Fixed>(await doctor('--fix', '--yes'), exitCode);
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

beforeAll(async () => {
  cwd = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-fix-')));
  documentOf(await runBin(['up', '--json'], { cwd }));
}, 120_000);
afterAll(async () => {
  await runBin(['uninstall', '--yes'], { cwd });
  await rm(cwd, { recursive: true, force: true });
}, 60_000);

describe('doctor --fix', { timeout: 120_000 }, () => {
  test('a healthy deployment is left as it is', async () => {
    const before = await readdir(inState('releases'));
    const report = await fix();
    expect(report.fix).toEqual({ done: [], healed: [], left: [] });
    expect(await readdir(inState('releases'))).toEqual(before);
  });

  test('keys that others may read are closed, and the CA key to 0400', async () => {
    await chmod(inState('keys/keys.json'), 0o644);
    await chmod(inState('pki/ca.key'), 0o640);
    expect(documentOf<Fixed>(await doctor(), 1).findings.map(({ code }) => code)).toEqual(['host/file-modes']);
    // Nobody can be asked here.
    const refused = await doctor('--fix');
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--yes') });
    expect(await modeOf(inState('keys/keys.json'))).toBe(0o644);
    const report = await fix();
    expect(report).toMatchObject({ ok: true, findings: [], fix: { healed: ['host/file-modes'], left: [] } });
    expect(await modeOf(inState('keys/keys.json'))).toBe(0o600);
    expect(await modeOf(inState('pki/ca.key'))).toBe(0o400);
  });

  test('near miss: a key of somebody else that a link leads to keeps its mode', async () => {
    const foreign = join(cwd, 'not-ours.key');
    const store = await readFile(inState('keys/default.key'));
    await writeFile(foreign, store, { mode: 0o644 });
    await rm(inState('keys/default.key'));
    await symlink(foreign, inState('keys/default.key'));
    const report = await fix(1);
    expect(report.fix).toEqual({ done: [], healed: [], left: ['host/file-modes'] });
    expect(await modeOf(foreign)).toBe(0o644);
    await rm(inState('keys/default.key'));
    await writeFile(inState('keys/default.key'), store, { mode: 0o600 });
  });

  test('its own stopped server is started', async () => {
    await runBin(['stop'], { cwd });
    const report = await fix();
    expect(report).toMatchObject({ ok: true, fix: { healed: ['host/server-running'], left: [] } });
    expect(report.fix?.done.join()).toContain('start');
  });

  test('near miss: another program on the port of the stopped server is not touched', async () => {
    const status = documentOf<{ url: string }>(await runBin(['status', '--json'], { cwd }));
    await runBin(['stop'], { cwd });
    const other = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => other.listen(Number(new URL(status.url).port), 'localhost', resolve));
    try {
      const report = documentOf<Fixed>(await doctor('--fix', '--yes'), 1);
      expect(report.fix?.done).toEqual([]);
      expect(other.listening).toBe(true);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
    await fix();
  });

  test('a file of ours that was edited is written again, and the edit is kept aside', async () => {
    const file = inState('server.json');
    const before = await readFile(file, 'utf8');
    await writeFile(file, before.replace('"version"', '"version" '));
    await runBin(['stop'], { cwd });
    const report = await fix();
    expect(report.ok).toBe(true);
    expect(await readFile(file, 'utf8')).toBe(before);
    expect((await readdir(inState(''))).some((name) => name.startsWith('server.json.mcp-deploy-'))).toBe(true);
  });

  test('a certificate that is gone is issued again by its own CA, which stays', async () => {
    const ca = await readFile(inState('pki/ca.crt'), 'utf8');
    await rm(await realpath(inState('pki/server.crt')));
    const report = await fix();
    expect(report.ok).toBe(true);
    expect(report.fix?.done.join()).toContain('issue server certificate');
    expect(await readFile(inState('pki/ca.crt'), 'utf8')).toBe(ca);
  });

  test('what a killed command left is undone', async () => {
    const lost = await runProgram(
      process.execPath,
      [
        '-e',
        `
        const { spawn } = require('node:child_process');
        const { existsSync, readdirSync, readFileSync } = require('node:fs');
        const child = spawn(process.execPath, [${JSON.stringify(binFile)}, 'restart'], { stdio: 'ignore' });
        const timer = setInterval(() => {
          const open = readdirSync('.mcp-deploy/journal').filter((name) => name.endsWith('-restart.jsonl'));
          if (open.length > 0 && readFileSync('.mcp-deploy/journal/' + open.at(-1), 'utf8').includes('begin')) child.kill('SIGKILL');
        }, 1);
        child.on('exit', () => clearInterval(timer));
      `,
      ],
      { cwd },
    );
    expect(lost.exitCode).toBe(0);
    const report = await fix();
    expect(report.ok).toBe(true);
    expect((await runBin(['status', '--json'], { cwd })).stdout).toContain('"unfinished": null');
  });

  test('near miss: keys that would have to be made anew are left to a person, who is told', async () => {
    const store = await readFile(inState('keys/keys.json'));
    await rm(inState('keys/keys.json'));
    const run = await doctor('--fix', '--yes');
    const report = documentOf<Fixed>(run, 1);
    expect(report.fix).toMatchObject({ done: [], healed: [] });
    expect(run.stderr).toContain('mcp-deploy apply');
    await writeFile(inState('keys/keys.json'), store, { mode: 0o600 });
  });

  test('it mends this folder only', async () => {
    const run = await runBin(['doctor', 'http://127.0.0.1:1/mcp', '--fix', '--yes'], { cwd });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('this folder only');
    expect((await doctor('--fix', '--watch')).exitCode).toBe(2);
  });
});
