import { describe, expect, test } from 'vitest';
import { hideSecrets } from '../../src/deployment/hide-secrets.ts';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { formatDeployment, type DeploymentDraft } from '../../src/deployment/write-deployment.ts';
import { describeDrift } from '../../src/plan/describe-drift.ts';
import { describePlan, planSummary } from '../../src/plan/describe-plan.ts';
import type { FileFact, HostFacts } from '../../src/plan/facts.ts';
import { diffLines } from '../../src/plan/line-diff.ts';
import { planDeployment } from '../../src/plan/plan-deployment.ts';
import { planRemoval } from '../../src/plan/plan-removal.ts';
import type { Plan } from '../../src/plan/types.ts';
import { afterPlan, emptyHost, fileFact } from '../helpers/host-facts.ts';
import { seededRandom } from '../helpers/seeded-random.ts';

const state = '/srv/app/.mcp-deploy';

function plan(draft: DeploymentDraft, facts: HostFacts, text: string | null = null): Plan {
  return planDeployment({ deployment: deploymentSchema.parse({ ...draft, version: 1 }), deploymentText: text }, facts);
}

function applied(draft: DeploymentDraft = {}): HostFacts {
  return afterPlan(plan(draft, emptyHost(), formatDeployment(draft)), emptyHost());
}

describe('describePlan', () => {
  test('a first apply', () => {
    const made = plan({}, emptyHost(), 'version: 1\n');
    expect(`\n${describePlan(made, emptyHost())}\n`).toBe(`
  mcp, first release, host box.local

  + mcp-deploy.yaml               none yet
  + .mcp-deploy/keys/default.key  API key "default", none yet
  + .mcp-deploy/pki/ca.crt        private CA, none yet
  + .mcp-deploy/pki/server.crt    none yet; 397 days, for localhost, 127.0.0.1, ::1, box.local
  + .mcp-deploy/server.json       none yet
  then  start server, not running
        wait until ready, it has just been started
        call the endpoint as a client would, proof that it serves

  0 to change, 5 to add, 0 to remove. Apply with: mcp-deploy apply
`);
  });

  test('a change, an edited file and a new text', () => {
    const facts = applied();
    const edited = { ...facts, files: { ...facts.files, [`${state}/server.json`]: fileFact('{\n  "mine": 1\n}\n') } };
    const text = (facts.deploymentFile.text ?? '').replace('localhost:8443', 'localhost:9000');
    const made = plan({ server: { listen: 'localhost:9000' } }, edited, text);
    const lines = describePlan(made, edited).split('\n');
    expect(lines.slice(0, 6)).toEqual([
      '  mcp, release 1 -> 2, host box.local',
      '',
      '  ~ mcp-deploy.yaml                       settings changed',
      '      -   listen: localhost:8443             # where to listen; localhost means 127.0.0.1 and ::1',
      '      +   listen: localhost:9000             # where to listen; localhost means 127.0.0.1 and ::1',
      '  + .mcp-deploy/server.json.mcp-deploy-2  edited by hand',
    ]);
    expect(lines).toContain('      -   "mine": 1');
    expect(lines).toContainEqual(
      expect.stringMatching(/^ {2}! \.mcp-deploy\/server\.json was edited by hand; it is kept as/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/… \d+ more lines$/));
    expect(lines.at(-1)).toBe('  2 to change, 1 to add, 0 to remove, 1 to look at. Apply with: mcp-deploy apply');
    expect(planSummary(made, edited)).toEqual({ change: 2, add: 1, remove: 0, lookAt: 1, run: 4 });
  });

  test('nothing to do', () => {
    const facts = applied();
    expect(describePlan(plan({}, facts), facts)).toBe(
      '  Nothing to do: everything is as mcp-deploy.yaml says, and the server is running (pid 4711).',
    );
    expect(describePlan(planRemoval(emptyHost()), emptyHost())).toBe('  Nothing to do: nothing of mcp-deploy is here.');
  });

  test('an uninstall', () => {
    const facts = applied();
    expect(`\n${describePlan(planRemoval(facts), facts)}\n`).toBe(`
  uninstall mcp, host box.local

  - mcp-deploy.yaml  written by mcp-deploy
  - .mcp-deploy/     keys, certificates, logs
  then  stop server, it is removed

  0 to change, 0 to add, 2 to remove. Do it with: mcp-deploy uninstall
`);
  });

  test('no value of the environment and no secret argument is ever in it', () => {
    const secret = 'hunter2-very-secret';
    const token = `ghp_${'aB3x'.repeat(9)}`;
    const draft = (value: string): DeploymentDraft => ({
      server: {
        upstreams: {
          a: {
            command: 'x',
            args: ['--api-key', value, token, `--token=${value}`],
            env: { PASSWORD: value, SAFE: '${FROM_ENV}', MIXED: `\${A:-${value}}` },
          },
        },
      },
    });
    const facts = applied(draft(`${secret}-old`));
    const text = formatDeployment(draft(`${secret}-new`));
    const made = plan({ ...draft(`${secret}-new`), logs: { level: 'debug' } }, facts, `# ${token}\n${text}`);
    const shown = describePlan(made, facts);
    expect(shown).not.toContain(secret);
    expect(shown).not.toContain(token);
    expect(shown).toContain('"level": "debug"');
    const onlySecret = plan(draft(`${secret}-new`), facts, text);
    expect(describePlan(onlySecret, facts)).toContain('(a value that is not shown)');
    expect(describePlan(onlySecret, facts)).not.toContain(secret);
  });
});

describe('hideSecrets', () => {
  test('leaves the form of the file and references as they are', () => {
    const text =
      'version: 1 # one\nserver:\n  upstreams:\n    a:\n      command: x\n      args: [a, --key, "s 1"]\n      env: { A: "${A}", B: b } # c\n';
    expect(hideSecrets(text)).toBe(text.replace('"s 1"', '[hidden]').replace('B: b', 'B: [hidden]'));
  });

  test('a text that cannot be read is not shown at all', () => {
    expect(hideSecrets('a: "')).toBeNull();
  });
});

describe('describeDrift', () => {
  test('tells per file whether it is as it was written; what lives on is not in it', () => {
    const facts = applied();
    const files: Record<string, FileFact> = { ...facts.files, [`${state}/server.json`]: fileFact('edited') };
    delete files[`${state}/pki/ca.crt`];
    expect(
      Object.fromEntries(
        describeDrift({ ...facts, files }).map((entry) => [entry.path.slice(state.length + 1), entry.state]),
      ),
    ).toEqual({
      'server.json': 'edited by hand',
      'pki/ca.crt': 'removed',
      'pki/ca.key': 'as written',
      'pki/server.crt': 'as written',
      'pki/server.key': 'as written',
    });
    expect(describeDrift(emptyHost())).toEqual([]);
  });
});

describe('diffLines', () => {
  const show = (from: string, to: string): string[] =>
    diffLines(from, to).map(({ kind, text }) => `${{ same: ' ', removed: '-', added: '+' }[kind]}${text}`);

  test.each<[string, string, string[]]>([
    ['', '', []],
    ['a\n', 'a\n', [' a']],
    ['', 'a\nb\n', ['+a', '+b']],
    ['a\nb\n', '', ['-a', '-b']],
    ['a\nb\nc\n', 'a\nx\nc\n', [' a', '-b', '+x', ' c']],
    ['a\nb\nc\nd\n', 'b\nd\ne\n', ['-a', ' b', '-c', ' d', '+e']],
    ['a', 'a\n', [' a']],
    ['a\r\nb\r\n', 'a\nb\n', [' a', ' b']],
    ['\n\n', '\n', ['-', ' ']],
  ])('%j -> %j', (from, to, lines) => {
    expect(show(from, to).toSorted()).toEqual(lines.toSorted());
    expect(
      diffLines(from, to)
        .filter(({ kind }) => kind !== 'added')
        .map(({ text }) => text)
        .join('\n'),
    ).toBe(from.replaceAll('\r', '').replace(/\n$/, ''));
  });

  test('both texts can be read back from it, and it is as short as the common lines allow', () => {
    const random = seededRandom(3);
    for (let round = 0; round < 500; round += 1) {
      const text = (): string[] => Array.from({ length: random.below(12) }, () => random.pick(['a', 'b', 'c', '']));
      const [before, after] = [
        [...text(), 'x'],
        [...text(), 'x'],
      ];
      const lines = diffLines(before.join('\n'), after.join('\n'));
      expect(lines.filter(({ kind }) => kind !== 'added').map((line) => line.text)).toEqual(before);
      expect(lines.filter(({ kind }) => kind !== 'removed').map((line) => line.text)).toEqual(after);
      expect(lines.filter(({ kind }) => kind === 'same').length).toBe(commonLength(before, after));
    }
  });

  test('two large and different texts take no more than their lines', () => {
    const from = Array.from({ length: 5_000 }, (_, index) => `a${index}`).join('\n');
    const to = Array.from({ length: 5_000 }, (_, index) => `b${index}`).join('\n');
    expect(diffLines(from, to)).toHaveLength(10_000);
  });
});

function commonLength(one: readonly string[], other: readonly string[]): number {
  let row = Array.from({ length: other.length + 1 }, () => 0);
  for (const line of one) {
    const next = [0];
    for (const [index, candidate] of other.entries()) {
      next.push(line === candidate ? (row[index] ?? 0) + 1 : Math.max(row[index + 1] ?? 0, next[index] ?? 0));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
