import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { explainCode } from '../../src/doctor/explain.ts';
import { wrapText } from '../../src/doctor/report/wrap-text.ts';
import { categories } from '../../src/doctor/types.ts';

const file = new URL('../../docs/findings.md', import.meta.url).pathname;

const introduction = `# Findings

What \`mcp-deploy doctor\` can find. A code is permanent: it never changes its meaning and is never used again. The title
states the healthy fact. Severity follows the MUST and SHOULD of the specifications; a case may be milder or harder than
its code, then the section says so. What an earlier error on the way explains is not judged and listed as following from
it. \`mcp-deploy explain CODE\` prints a section.

Written by the code (\`UPDATE_GOLDEN=1 npx vitest run --config test/vitest.config.ts test/unit/doctor-findings-document.test.ts\`),
so that neither a check nor a section can be forgotten.
`;

function renderDocument(): string {
  const sections = categories.flatMap((category) =>
    catalogue
      .filter((check) => check.category === category)
      .map(({ code, title, hop, severity, explanation, after }) =>
        [
          `## ${code}`,
          '',
          `**${title}** (${severity}, hop ${hop})`,
          '',
          ...wrapText(explanation, 120),
          ...(after.length === 0
            ? []
            : ['', ...wrapText(`Not judged while one of these is broken: ${after.join(', ')}.`, 120)]),
          '',
        ].join('\n'),
      ),
  );
  return [introduction, ...sections].join('\n');
}

test('docs/findings.md has a section for every code and for nothing else (UPDATE_GOLDEN=1 writes it)', () => {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, renderDocument());
  const text = readFileSync(file, 'utf8');
  const documented = [...text.matchAll(/^## (.+)$/gm)].map((match) => match[1] ?? '');
  expect(documented.toSorted()).toEqual(catalogue.map(({ code }) => code).toSorted());
  expect(text).toBe(renderDocument());
});

test('explain prints what a code means within 80 columns', () => {
  for (const { code, title } of catalogue) {
    const explanation = explainCode(code);
    if (explanation.kind === 'unknown') throw new Error(`${code} is not explained`);
    expect(explanation.text).toContain(title);
    expect(explanation.text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  }
});

test('explain suggests what was meant', () => {
  expect(explainCode('tls/nam')).toEqual({ kind: 'unknown', suggestions: ['tls/name'] });
  expect(explainCode('limits')).toEqual({
    kind: 'unknown',
    suggestions: ['limits/answers-429', 'limits/retry-after', 'limits/recovers', 'limits/other-key', 'limits/headers'],
  });
  expect(explainCode('nothing-like-it')).toEqual({ kind: 'unknown', suggestions: [] });
});
