import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatProblems, parseDeployment } from '../../src/deployment/parse-deployment.ts';

/**
 * Each case is NAME.yaml and NAME.txt: what a person sees for that file, or
 * "ok" and the settings that differ from the defaults. UPDATE_GOLDEN=1 writes the .txt files anew.
 */
const folder = new URL('../golden/deployment', import.meta.url).pathname;

describe('golden deployment files', () => {
  const cases = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  test('there are cases', () => expect(cases.length).toBeGreaterThan(30));
  test.each(cases)('%s', (name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const parsed = parseDeployment(text, { file: 'mcp-deploy.yaml' });
    const seen = parsed.ok
      ? `ok\n${JSON.stringify(parsed.deployment, null, 2)}\n`
      : `${formatProblems(parsed.problems, 'mcp-deploy.yaml')}\n`;
    const expectedFile = join(folder, `${basename(name, '.yaml')}.txt`);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(expectedFile, seen);
    expect(seen).toBe(readFileSync(expectedFile, 'utf8'));
  });
});
