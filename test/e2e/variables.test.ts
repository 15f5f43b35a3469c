import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { documentOf, repository, runBin, withFolder } from '../helpers/cli.ts';

test('a port from a variable is in the plan, a token is not; without the variable nothing is done', async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/mcp-deploy.yaml`;
    const upstream = '{ command: node, args: [x.js], env: { T: "${MCPD_E2E_TOKEN}" } }';
    const text = `version: 1\nserver:\n  listen: 127.0.0.1:\${MCPD_E2E_PORT}\n  upstreams:\n    a: ${upstream}\n`;
    writeFileSync(file, text);
    const env = { MCPD_E2E_PORT: '18443', MCPD_E2E_TOKEN: 'canary-token' };
    const plan = await runBin(['plan', '--json'], { cwd: folder, env });
    expect(plan.exitCode).toBe(0);
    expect(plan.stdout).toContain('18443');
    expect(plan.stdout).toContain('${MCPD_E2E_TOKEN}');
    expect(plan.stdout).not.toContain('canary-token');

    const refused = await runBin(['plan'], { cwd: folder });
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('mcp-deploy.yaml:3:11  server.listen needs MCPD_E2E_PORT, which is not set');
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});

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
