import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { goldenCases } from '../helpers/target-golden.ts';

const update = process.env['UPDATE_GOLDEN'] === '1';

// One folder a case: deployment.yaml, optionally input.yaml, and below expected/ what every target makes of them.
describe.each(goldenCases())('golden case $name', ({ folder, input, targets }) => {
  test.each(targets)('$name is written as expected', (target) => {
    const expectedFolder = join(folder, 'expected', target.name);
    const rendered = renderAll(() => target.files(input));
    if (update) {
      rmSync(expectedFolder, { recursive: true, force: true });
      for (const [path, content] of Object.entries(rendered)) {
        mkdirSync(dirname(join(folder, 'expected', path)), { recursive: true });
        writeFileSync(join(folder, 'expected', path), content);
      }
    }
    expect(Object.keys(rendered).toSorted()).toEqual(listFiles(expectedFolder).map((path) => `${target.name}/${path}`));
    for (const [path, content] of Object.entries(rendered)) {
      expect(content).toBe(readFileSync(join(folder, 'expected', path), 'utf8'));
    }

    /** Files by path; a refusal is a file too, so that its words are looked at. */
    function renderAll(render: () => readonly { path: string; content: string }[]): Record<string, string> {
      try {
        // The bundle is a copy of what was given: nothing to look at.
        const files = render().filter(({ path }) => !path.endsWith('/serve.js'));
        return Object.fromEntries(files.map(({ path, content }) => [path, content]));
      } catch (error) {
        const { message, why, next } = error as { message: string; why?: string; next?: string };
        return { [`${target.name}/refused.txt`]: [message, why, next].filter(Boolean).join('\n') + '\n' };
      }
    }
  });

  test('commands are argv arrays, in which nothing has to be filled in', () => {
    for (const target of targets) {
      let planned;
      try {
        planned = target.commands(input);
      } catch {
        continue;
      }
      const commands = [...planned.check, ...planned.install, ...planned.restart, ...planned.remove];
      // Traefik sees by itself what changes in its folder, and judges nothing.
      if (target.name !== 'traefik') expect(commands.length).toBeGreaterThan(0);
      for (const { title, argv } of commands) {
        expect(title).toMatch(/^[a-z]/);
        // A path of the user may hold anything: no shell sees it.
        expect(argv.filter((word) => !word.startsWith('/')).join(' ')).not.toMatch(/undefined|null|\$\{|\$\(|[<>|;&]/);
      }
    }
  });
});

test('every golden case is looked at', () => {
  const root = fileURLToPath(new URL('../golden/targets', import.meta.url));
  expect(readdirSync(root).toSorted()).toEqual(goldenCases().map(({ name }) => name));
});

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .toSorted();
  } catch {
    return [];
  }
}
