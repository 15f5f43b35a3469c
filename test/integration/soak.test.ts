import { expect, test } from 'vitest';
import { repository, runProgram } from '../helpers/cli.ts';

test('a minute of churn leaves memory, descriptors and processes of the server flat, and no answer is wrong', async () => {
  const soak = await runProgram(process.execPath, ['bench/soak.mjs', '--seconds', '60'], {
    cwd: repository,
    timeoutMs: 150_000,
  });
  expect(soak.stdout, soak.stderr).toContain('\nflat\n');
  expect(soak.exitCode).toBe(0);
}, 180_000);
