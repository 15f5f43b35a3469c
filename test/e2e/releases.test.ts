import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { freePorts } from '../helpers/proxy-rig.ts';

interface PlanDocument {
  readonly changes: number;
  readonly drift: readonly { path: string; state: string }[];
}

test('a plan is kept in a file and applied as it is; it is refused when anything moved since', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const file = join(folder, 'mcp-deploy.yaml');
    const [port] = await freePorts(1);
    await writeFile(file, `version: 1\nserver:\n  listen: localhost:${port}\n`);

    const planned = await cli('plan', '-o', 'first.plan');
    expect(planned.stdout).toContain('Apply with: mcp-deploy apply first.plan');
    expect((await stat(join(folder, 'first.plan'))).mode & 0o777).toBe(0o600);
    expect((await cli('apply', 'first.plan', '--json')).exitCode).toBe(0);
    expect((await cli('plan', '--check')).exitCode).toBe(0);

    // A plan that was applied does not fit any more, and one that lost its fit changes nothing.
    const again = await cli('apply', 'first.plan');
    expect(again.exitCode).toBe(3);
    expect(again.stderr).toContain('does not fit any more');
    expect(again.stderr).toContain('the last release');

    await writeFile(file, (await readFile(file, 'utf8')).concat('logs:\n  level: debug\n'));
    expect((await cli('plan', '-o', 'second.plan', '--check')).exitCode).toBe(1);
    await writeFile(file, (await readFile(file, 'utf8')).replace('debug', 'warn'));
    const moved = await cli('apply', 'second.plan');
    expect(moved.exitCode).toBe(3);
    expect(moved.stderr).toContain('mcp-deploy.yaml');
    expect((await cli('apply', 'mcp-deploy.yaml')).exitCode).toBe(2);
  });
}, 120_000);

test('an edit by hand is drift: shown, kept aside by apply, or adopted, and adopted once it is no drift', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const [port] = await freePorts(1);
    await writeFile(join(folder, 'mcp-deploy.yaml'), `version: 1\nserver:\n  listen: localhost:${port}\n`);
    expect((await cli('apply', '--json')).exitCode).toBe(0);
    const config = join(folder, '.mcp-deploy/server.json');
    const written = await readFile(config, 'utf8');
    const edited = written.replace('"level": "info"', '"level": "warn"');
    expect(edited).not.toBe(written);

    await writeFile(config, edited);
    const plan = await cli('plan', '--json', '--check');
    expect(plan.exitCode).toBe(1);
    expect(documentOf<PlanDocument>(plan, 1).drift).toEqual([{ path: config, state: 'edited by hand' }]);

    expect((await cli('apply', '--adopt')).exitCode).toBe(0);
    expect(await readFile(config, 'utf8')).toBe(edited);
    expect((await cli('plan', '--check')).exitCode).toBe(0);

    await writeFile(config, edited.replace('"level": "warn"', '"level": "error"'));
    expect((await cli('apply')).exitCode).toBe(0);
    expect(await readFile(config, 'utf8')).toBe(written);
    const aside = (await readdir(join(folder, '.mcp-deploy'))).filter((name) => name.includes('.mcp-deploy-'));
    expect(aside).toEqual(['server.json.mcp-deploy-3']);
    expect((await cli('plan', '--check')).exitCode).toBe(0);
  });
}, 120_000);

test('rollback puts an earlier release back through the same pipeline; keys and certificates stay; history tells it', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const file = join(folder, 'mcp-deploy.yaml');
    const [port] = await freePorts(1);
    const text = `version: 1\nserver:\n  listen: localhost:${port}\n`;
    await writeFile(file, text);
    expect((await cli('apply', '--json')).exitCode).toBe(0);
    const first = await cli('rollback');
    expect(first.exitCode).toBe(2);
    expect(first.stderr).toContain('is the first one');
    const made = (name: string) => readFile(join(folder, '.mcp-deploy', name), 'utf8');
    const config = await made('server.json');
    const kept = [await made('keys/keys.json'), await made('pki/ca.crt'), await made('pki/server.crt')];

    await writeFile(file, `${text}logs:\n  level: debug\n`);
    expect((await cli('apply', '--json')).exitCode).toBe(0);
    expect(await made('server.json')).not.toBe(config);

    expect((await cli('rollback', '--json')).exitCode).toBe(0);
    expect(await made('server.json')).toBe(config);
    expect([await made('keys/keys.json'), await made('pki/ca.crt'), await made('pki/server.crt')]).toEqual(kept);
    expect(await readFile(file, 'utf8')).toContain('debug');
    expect((await cli('history')).stdout).toMatch(/^ +3 .*back to 1 +live\n +2 .*\n +1 /);
    expect((await cli('rollback', '1')).stdout).toContain('Nothing to do');
    expect((await cli('rollback', '9')).stderr).toContain('Kept are: 3, 2, 1');
    // And forward again: what mcp-deploy.yaml says.
    expect((await cli('apply', '--json')).exitCode).toBe(0);
    expect(await made('server.json')).toContain('debug');
  });
}, 120_000);
