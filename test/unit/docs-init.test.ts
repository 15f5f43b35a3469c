import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { answersFileSchema } from '../../src/cli/wizard/answers.ts';
import { parseAnswers } from '../../src/cli/wizard/parse-answers.ts';
import { profileIds } from '../../src/cli/wizard/profile-ids.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const init = read('docs/init.md');

/** Fenced blocks of one language. */
function blocks(text: string, language: string): readonly string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);
}

test('its transcript is what a terminal shows', () => {
  const [transcript = ''] = blocks(init, '');
  expect(`${transcript.replace('$ mcp-deploy init\n', '')}exit=0\n`).toBe(read('test/golden/wizard/local.txt'));
});

test('it names every profile and every key of the answers file', () => {
  const named = new Set(Array.from(init.matchAll(/`([A-Za-z-]+)`/g), ([, word]) => word));
  const wanted = [...profileIds, ...Object.keys(answersFileSchema.shape)];
  expect(wanted.filter((word) => !named.has(word))).toEqual([]);
});

test('answers files of the documents are taken', () => {
  const env = { SITE_NAME: 'mcp.example.com' };
  const scripted = blocks(read('docs/scripted.md'), 'sh').flatMap((script) =>
    Array.from(script.matchAll(/answers\.yaml" <<'YAML'\n(.*?)^YAML$/gms), ([, text = '']) => text),
  );
  const files = [...blocks(init, 'yaml'), ...scripted];
  expect(files).toHaveLength(2);
  for (const text of files) expect(parseAnswers(text, { file: 'answers.yaml', env })).toMatchObject({ apply: true });
});

testWithTools(['shellcheck'], 'scripts for machines without a person have no fault that shellcheck knows', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-deploy-scripts-'));
  try {
    const scripts = blocks(read('docs/scripted.md'), 'sh');
    expect(scripts.length).toBeGreaterThan(1);
    for (const script of scripts) {
      await writeFile(join(folder, 'script.sh'), script);
      // SITE is given from outside, as the text says.
      expect(runTool('shellcheck', ['--shell=sh', '--exclude=SC2154', join(folder, 'script.sh')])).toBe('');
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
