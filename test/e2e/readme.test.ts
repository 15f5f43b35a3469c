import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repository, runProgram, withFolder } from '../helpers/cli.ts';

test('on a fresh clone the README’s two commands work as written', async () => {
  const readme = await readFile(join(repository, 'README.md'), 'utf8');
  const block = /<!-- the two commands -->\s*```sh\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const commands = block.trim().split('\n');
  expect(commands).toHaveLength(2);

  await withFolder(async (folder) => {
    const clone = join(folder, 'clone');
    const cloned = await runProgram('git', ['clone', '--quiet', '--no-local', repository, clone], { cwd: folder });
    expect(cloned.exitCode, cloned.stderr).toBe(0);
    for (const command of commands) {
      const result = await runProgram('sh', ['-c', command], { cwd: clone, timeoutMs: 300_000 });
      expect(result.exitCode, `${command}\n${result.stdout}\n${result.stderr}`).toBe(0);
      if (command.includes('up')) expect(result.stdout).toMatch(/https:\/\/localhost:\d+\/mcp/);
    }
    const status = await runProgram('git', ['status', '--porcelain'], { cwd: clone });
    // Only the deployment file that `up` wrote for the user: the state folder hides itself.
    expect(status.stdout).toBe('?? mcp-deploy.yaml\n');
    const gone = await runProgram('npx', ['mcp-deploy', 'uninstall', '--yes'], { cwd: clone });
    expect(gone.exitCode, gone.stderr).toBe(0);
    expect((await runProgram('git', ['status', '--porcelain'], { cwd: clone })).stdout).toBe('');
  });
}, 400_000);
