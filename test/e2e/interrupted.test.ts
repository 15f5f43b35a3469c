import { readFileSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { snapshotTree } from '../helpers/tree.ts';

/** Moments spread over the life of one `up`, as shares of how long it takes on this machine now. */
const moments = [0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1];

/** How long one whole `up` takes here and now, milliseconds; taken away again. */
async function durationOfUp(folder: string): Promise<number> {
  const startedAt = performance.now();
  expect((await runBin(['up'], { cwd: folder })).exitCode).toBe(0);
  const durationMs = performance.now() - startedAt;
  expect((await runBin(['uninstall', '--yes'], { cwd: folder })).exitCode).toBe(0);
  return durationMs;
}

test('Ctrl-C at any moment of up: exit 130 and the folder as before, or finished with exit 0; no server stays behind', async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'mine.txt'), 'mine\n');
    const before = await snapshotTree(folder);
    let durationMs = await durationOfUp(folder);
    let undone = 0;
    for (const moment of moments) {
      const startedAt = performance.now();
      const result = await runBin(['up'], {
        cwd: folder,
        onStart: (child) => void setTimeout(() => child.kill('SIGINT'), moment * durationMs),
      });
      if (result.exitCode === 0) {
        // The machine is quicker now than when it was measured, or the moment was past the end.
        durationMs = Math.min(durationMs, performance.now() - startedAt);
        documentOf(await runBin(['uninstall', '--yes', '--json'], { cwd: folder }));
      } else if (result.signal === 'SIGINT') {
        // Before its own first line of code could run, Node.js ends on the signal; nothing can have been made.
      } else {
        expect(result.exitCode, result.stderr).toBe(130);
        undone += 1;
      }
      expect(await snapshotTree(folder)).toEqual(before);
      expect(processesNaming(folder)).toEqual([]);
    }
    expect(undone).toBeGreaterThan(2);
  });
}, 180_000);

test('kill -9 at any moment of up: the next up finishes the work, uninstall leaves the folder as before', async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'mine.txt'), 'mine\n');
    const before = await snapshotTree(folder);
    let durationMs = await durationOfUp(folder);
    let killed = 0;
    for (const [index, moment] of moments.entries()) {
      const startedAt = performance.now();
      const first = await runBin(['up'], {
        cwd: folder,
        onStart: (child) => void setTimeout(() => child.kill('SIGKILL'), moment * durationMs),
      });
      if (first.signal === 'SIGKILL') killed += 1;
      else durationMs = Math.min(durationMs, performance.now() - startedAt);
      if (index % 2 === 0) {
        const second = await runBin(['up', '--json'], { cwd: folder });
        expect(documentOf(second)).toMatchObject({ ok: true });
        expect(documentOf(await runBin(['doctor', '--json'], { cwd: folder }))).toMatchObject({ ok: true });
      }
      expect((await runBin(['uninstall', '--yes'], { cwd: folder })).exitCode).toBe(0);
      expect(await snapshotTree(folder)).toEqual(before);
      expect(processesNaming(folder)).toEqual([]);
    }
    expect(killed).toBeGreaterThan(4);
  });
}, 240_000);

/** Command lines of live processes that name the folder (Linux; elsewhere there is nothing to read and the list is empty). */
function processesNaming(folder: string): string[] {
  const found: string[] = [];
  let names: string[] = [];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  } catch {
    return [];
  }
  for (const name of names) {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      if (words.includes(folder)) found.push(words.replaceAll('\0', ' '));
    } catch {
      // gone meanwhile
    }
  }
  return found;
}
