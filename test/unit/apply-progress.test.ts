import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { ApplyResult } from '../../src/apply/apply-plan.ts';
import { runWithProgress } from '../../src/apply/progress.ts';
import type { ProgressEvent } from '../../src/apply/progress-event.ts';
import type { Plan, Step } from '../../src/plan/types.ts';

const step = (
  id: string,
  group: Step['group'],
  action: Step['action'] = { type: 'remove-file', path: '/x' },
): Step => ({
  id,
  title: `do ${id}`,
  why: 'test',
  group,
  action,
  undo: { type: 'none' },
});

const wait = { type: 'wait-until-ready', readyUrl: 'u', pidFile: 'p', logFile: 'l', timeoutMs: 1 } as const;
const steps = [
  step('config', 'configuration'),
  step('keys-folder', 'keys'),
  step('first-key', 'keys'),
  step('ca', 'certificate'),
  step('leaf', 'certificate'),
  step('config-2', 'configuration'),
  step('start', 'server'),
  step('ready', 'server', wait),
  step('verify', 'verified', { type: 'verify-endpoint', url: 'https://localhost:8443/mcp' }),
];
const plan: Plan = {
  schemaVersion: 1,
  deployment: 'x',
  purpose: 'apply',
  release: 1,
  steps,
  notices: [],
  desired: null,
};
const details: Record<string, string> = {
  config: 'mcp-deploy.yaml',
  'first-key': '1 key "default"',
  ca: 'private CA',
  leaf: 'localhost; 397 days',
  'config-2': '.mcp-deploy/server.json',
  start: 'started, pid 4711',
  ready: 'ready in 300 ms',
  verify: 'modern and legacy client, 13 tools',
};

/** Plays the events as a run does, one after the other and never in the same turn of the event loop. */
async function show(
  events: readonly ProgressEvent[],
  options: { isTTY?: boolean; silent?: boolean; colour?: boolean } = {},
): Promise<string> {
  let text = '';
  const colour = (name: string) => (value: string) => (options.colour === true ? `<${name}>${value}</>` : value);
  const result = await runWithProgress(
    {
      plan,
      stream: { write: (part: string) => (text += part), isTTY: options.isTTY ?? false, columns: 60 },
      silent: options.silent ?? false,
      style: { green: colour('green'), red: colour('red'), yellow: colour('yellow'), dim: colour('dim') },
    },
    async (onProgress) => {
      for (const event of events) {
        onProgress(event);
        await setImmediate();
      }
      return { outcome: 'applied' } satisfies ApplyResult;
    },
  );
  expect(result).toEqual({ outcome: 'applied' });
  return text;
}

function done(...ids: readonly string[]): readonly ProgressEvent[] {
  return ids.flatMap((id): ProgressEvent[] => {
    const found = steps.find((step) => step.id === id);
    if (found === undefined) throw new Error(id);
    return [
      { type: 'step-start', step: found },
      { type: 'step-done', step: found, detail: details[id] ?? null },
    ];
  });
}

test('one line for each group when it is complete, the facts on the right', async () => {
  const text = await show(done(...steps.map(({ id }) => id)));
  expect(text).toBe(
    [
      '  ✓ keys                   1 key "default"',
      '  ✓ certificate            private CA + localhost; 397 days',
      '  ✓ configuration          mcp-deploy.yaml, .mcp-deploy/server.json',
      '  ✓ server                 running, pid 4711, https://localhost:8443/mcp',
      '  ✓ verified               modern and legacy client, 13 tools',
      '',
    ].join('\n'),
  );
});

test('a failure is one line with what happened, then the undo; groups that were not reached say nothing', async () => {
  const start = steps.find(({ id }) => id === 'start');
  if (start === undefined) throw new Error('no step');
  const text = await show([
    ...done('config', 'keys-folder', 'first-key', 'ca', 'leaf', 'config-2'),
    { type: 'step-start', step: start },
    { type: 'step-failed', step: start, error: new Error('The server could not be started.\nmore') },
    { type: 'undo-start', steps: 7 },
    { type: 'undo-step', title: 'do start', leftovers: [] },
    { type: 'undo-done', leftovers: [] },
  ]);
  expect(text.split('\n').slice(3)).toEqual([
    '  ✗ server                 The server could not be started.',
    '  ✓ undone                 7 steps taken back',
    '',
  ]);
});

test('an undo that is not complete says so', async () => {
  const text = await show([
    { type: 'interrupted' },
    { type: 'undo-start', steps: 1 },
    { type: 'undo-done', leftovers: ['/x (no)'] },
  ]);
  expect(text).toBe('  ✗ undone                 not all: 1 thing could not be put back\n');
});

test('without a terminal there are no control characters; colours are only those of the style', async () => {
  const text = await show(done('config', 'config-2'), { colour: true });
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  expect(text).toContain('  <green>✓</> configuration');
});

test('a terminal sees what is being done, and it is wiped away', async () => {
  const text = await show(done('config', 'config-2'), { isTTY: true });
  expect(text).toContain('\r\u001b[K  · configuration          do config');
  expect(text.endsWith('✓ configuration          mcp-deploy.yaml, .mcp-deploy/server.json\n')).toBe(true);
  expect(text.indexOf('\r\u001b[K  ✓ configuration')).toBeGreaterThan(0);
});

test('silent shows nothing', async () => {
  expect(await show([{ type: 'interrupted' }], { silent: true })).toBe('');
});

test('an error of the run passes, and the list ends', async () => {
  await expect(
    runWithProgress(
      { plan, stream: { write: () => true }, style: { green: String, red: String, yellow: String, dim: String } },
      () => Promise.reject(new Error('a bug')),
    ),
  ).rejects.toThrow('a bug');
});
