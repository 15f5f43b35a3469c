import { expect, test } from 'vitest';
import { documentOf, repository, runBin, withFolder } from '../helpers/cli.ts';

test('a restart without a variable that the server has is refused before it is stopped', async () => {
  await withFolder(async (folder) => {
    const upstream = [process.execPath, `${repository}test/fixtures/upstreams/server.mjs`];
    const up = await runBin(['up', '--json', '--env', 'MCPD_E2E_TOKEN', '--', ...upstream], {
      cwd: folder,
      env: { MCPD_E2E_TOKEN: 'value-of-the-token' },
    });
    const { pid } = documentOf<{ pid: number }>(up);

    const restart = await runBin(['restart'], { cwd: folder });
    expect(restart.exitCode).toBe(3);
    expect(restart.stderr).toContain('MCPD_E2E_TOKEN is not set');
    const status = documentOf<{ server: { pid: number; upstreams: { state: string }[] } }>(
      await runBin(['status', '--json'], { cwd: folder }),
    );
    expect(status.server).toMatchObject({ pid, upstreams: [{ state: 'up' }] });
    expect((await runBin(['up'], { cwd: folder })).stdout).toContain('Nothing to do');
  });
});
