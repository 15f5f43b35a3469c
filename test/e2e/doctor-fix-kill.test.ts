import { chmod, mkdir, mkdtemp, readFile, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleOf } from '../helpers/bundle-of.ts';
import { documentOf, repository, runBin, runProgram } from '../helpers/cli.ts';
import { snapshotTree, type TreeSnapshot } from '../helpers/tree.ts';

/** A deployment with several things to mend, and a mcp-deploy that is killed (SIGKILL) at a step of its plan. */
let folder = '';
let cwd = '';
let killed = '';

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-fix-kill-')));
  cwd = join(folder, 'site');
  killed = join(folder, 'package/dist/cli/killed.mjs');
  await mkdir(cwd);
  await mkdir(join(folder, 'package/dist/cli'), { recursive: true });
  for (const name of ['dist/server', 'templates', 'schema', 'package.json']) {
    await symlink(join(repository, name), join(folder, 'package', name));
  }
  await writeFile(killed, await bundleOf('system-killed-cli'));
  documentOf(await runBin(['up', '--json'], { cwd }));
}, 120_000);
afterAll(async () => {
  await runBin(['uninstall', '--yes'], { cwd });
  await rm(folder, { recursive: true, force: true });
}, 60_000);

const inState = (path: string): string => join(cwd, '.mcp-deploy', path);
/** Minutes: both moments of every step, not one of every other. */
const everywhere = process.env['MCP_DEPLOY_KILLS'] === 'all';
const mend = ['doctor', '--fix', '--yes', '--only', 'host/file-modes,host/drift,host/server-running', '--json'];

test(
  'doctor --fix that is killed at steps all over it: the next --fix finishes, any other command undoes, to the byte',
  { timeout: 300_000 },
  async () => {
    const healthy = await look();
    await damage();
    const damaged = await look();
    const steps = documentOf<{ fix: { done: string[] } }>(await runBin(mend, { cwd })).fix.done.length;
    expect(steps).toBeGreaterThan(3);
    expect(await look()).toEqual(healthy);
    await damage();
    for (let step = 0; step < steps; step += everywhere ? 1 : 2) {
      const kills = [
        { moment: step % 8 < 4 ? 'acted' : 'begun', next: step % 4 === 0 ? 'undo' : 'finish' },
        ...(everywhere ? [{ moment: step % 8 < 4 ? 'begun' : 'acted', next: step % 4 === 0 ? 'finish' : 'undo' }] : []),
      ];
      for (const { moment, next } of kills) {
        const what = `killed when step ${step + 1} of ${steps} had ${moment}, then ${next}`;
        const cut = await runProgram(process.execPath, [killed, String(step), moment, ...mend], { cwd });
        expect(cut.signal, `${what}: ${cut.stderr}`).toBe('SIGKILL');
        if (next === 'undo') {
          expect((await runBin(['stop'], { cwd })).stderr, what).toMatch(/undone/);
          expect(await look(), what).toEqual(damaged);
        } else {
          documentOf(await runBin(mend, { cwd }));
          expect(await look(), what).toEqual(healthy);
          await damage();
        }
      }
    }
  },
);

/** An edited file, one that is gone, open modes, and a server that does not run. */
async function damage(): Promise<void> {
  await runBin(['stop'], { cwd });
  await chmod(inState('keys/keys.json'), 0o644);
  await chmod(inState('pki/ca.key'), 0o640);
  await writeFile(inState('server.json'), `${await readFile(inState('server.json'), 'utf8')}\n`);
}

/** All that a person or a program reads; not what counts up: journals, releases, what an edit was kept as. */
async function look(): Promise<TreeSnapshot> {
  for (const name of await readdir(inState(''))) {
    if (name.startsWith('server.json.mcp-deploy-')) await rm(inState(name));
  }
  const counts = /^(?:journal|releases|run|logs|current|lock)(?:\/|$)/;
  return snapshotTree(inState(''), { ignore: (path) => counts.test(path) });
}
