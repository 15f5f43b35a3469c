import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { createDeclaredBackend } from '../../src/server/backends/declared-backend.ts';
import { callTool, silentLog, until } from '../fixtures/upstreams/backend-calls.ts';

const document = readFileSync(new URL('../../docs/upstreams.md', import.meta.url), 'utf8');
const examples = [...document.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');

function deploymentOf(text: string) {
  const parsed = parseDeployment(text, { file: 'docs/upstreams.md' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.deployment;
}

test('every example of docs/upstreams.md is a deployment, and there is one of each kind', () => {
  const kinds = examples.flatMap((text) => {
    const { upstreams, tools } = deploymentOf(text).server;
    const known = ['url', 'http', 'module', 'command'];
    return [...Object.values(upstreams), ...Object.values(tools)].map((one) => known.find((key) => key in one));
  });
  expect(kinds).toEqual(['command', 'url', 'command', 'url', 'http', 'command', 'command', 'module']);
});

test('the function of docs/upstreams.md runs as it stands there', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-docs-'));
  const source = /```js\n\/\/ tools\/add\.mjs\n([\s\S]*?)```/.exec(document)?.[1] ?? '';
  writeFileSync(join(folder, 'add.mjs'), source);
  const add = examples
    .map(deploymentOf)
    .map(({ server }) => server.tools['add'])
    .find((tool) => tool !== undefined);
  if (add === undefined || !('module' in add)) throw new Error('no example');
  const tools = { add: { ...add, module: { ...add.module, path: 'add.mjs' } } };
  const backend = createDeclaredBackend({ tools }, { env: {}, baseDir: folder, log: silentLog, serverVersion: '9' });
  backend.start();
  await until(() => backend.state.state === 'up');
  expect(await callTool(backend, 'add', { a: 1, b: 2 })).toMatchObject({ structuredContent: { sum: 3 } });
  rmSync(folder, { recursive: true });
});
