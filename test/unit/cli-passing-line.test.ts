import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { createOutput, type Output, type OutputOptions } from '../../src/cli/output/output.ts';
import type { World } from '../../src/cli/world.ts';

const erase = '\r\u001b[K';

test('what is being done stands on one line of the terminal, and is gone before anything else is said', () => {
  const { output, said } = outputOn({ isTTY: true, columns: 12 });
  output.passing('looking up a long name');
  output.passing('asking');
  output.warning('w');
  output.passing(null);
  expect(said()).toBe(`looking up ${erase}asking${erase}  ! w\n`);
});

test('a terminal that does not know its width has a line too', () => {
  const { output, said } = outputOn({ isTTY: true, columns: 0 });
  output.passing('asking');
  expect(said()).toBe('asking');
});

test.each([
  ['without a terminal', { isTTY: false }, {}, {}],
  ['with --json', { isTTY: true }, { json: true }, {}],
  ['with --quiet', { isTTY: true }, { quiet: true }, {}],
  ['on a terminal that cannot erase', { isTTY: true }, {}, { TERM: 'dumb' }],
])('%s nothing is said of what is being done', (_, terminal, options, env) => {
  const { output, said } = outputOn(terminal, options, env);
  output.passing('asking');
  output.passing(null);
  expect(said()).toBe('');
});

function outputOn(
  terminal: { readonly isTTY: boolean; readonly columns?: number },
  options: Partial<OutputOptions> = {},
  env: NodeJS.ProcessEnv = {},
): { readonly output: Output; readonly said: () => string } {
  const stderr = new PassThrough({ encoding: 'utf8' });
  const world = {
    env: { NO_COLOR: '1', ...env },
    stdout: new PassThrough(),
    stderr: Object.assign(stderr, terminal),
  } as unknown as World;
  const output = createOutput(world, { json: false, quiet: false, verbose: false, ...options });
  return { output, said: () => (stderr.read() as string | null) ?? '' };
}
