import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readOwnFiles } from '../../src/cli/own-files.ts';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import { contentTag } from '../../src/plan/container-image.ts';
import { planDockerCommands } from '../../src/targets/docker/commands.ts';
import { renderDockerFiles } from '../../src/targets/docker/files.ts';
import type { OwnFile, RenderedFile } from '../../src/targets/types.ts';
import { targetInput } from '../helpers/target-input.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-own-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function put(files: Readonly<Record<string, string | Buffer>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

const wish: DeploymentInput = {
  version: 1,
  name: 'notes',
  server: {
    upstreams: { notes: { command: 'node', args: ['notes/main.mjs', '--data', '/srv/notes'] } },
    tools: {
      greet: { description: 'greets', inputSchema: { type: 'object' }, module: { path: './tools/greet.mjs' } },
      tidy: {
        description: 'tidies',
        inputSchema: { type: 'object' },
        command: { command: './bin/tidy.sh', cwd: 'work' },
      },
    },
  },
  auth: { keys: [{ label: 'ci', secret: 'file:ci.key' }] },
};

test('code that is named goes with what it imports and what lies beside it; secrets and the rest stay', () => {
  put({
    'notes/main.mjs': "import './lib/store.mjs';",
    'notes/lib/store.mjs': 'export {};',
    'notes/.env': 'TOKEN=1',
    'tools/greet.mjs': 'export default () => "hello";',
    'tools/server.key': 'secret',
    'bin/tidy.sh': '#!/bin/sh\n',
    'ci.key': 'secret',
    'unrelated.txt': 'x',
  });
  mkdirSync(join(folder, 'work', 'bin'), { recursive: true });
  writeFileSync(join(folder, 'work', 'bin', 'tidy.sh'), '#!/bin/sh\n');
  chmodSync(join(folder, 'work', 'bin', 'tidy.sh'), 0o755);
  const own = readOwnFiles(deploymentSchema.parse(wish), folder);
  expect(own.map(({ path, isExecutable }) => `${path}${isExecutable ? ' x' : ''}`).toSorted()).toEqual([
    'notes/lib/store.mjs',
    'notes/main.mjs',
    'tools/greet.mjs',
    'work/bin/tidy.sh x',
  ]);
});

test('a folder that something is started in is there even if it is empty', () => {
  mkdirSync(join(folder, 'work'));
  const deployment = deploymentSchema.parse({
    version: 1,
    name: 'notes',
    server: { upstreams: { one: { command: 'node', args: ['--version'], cwd: 'work' } } },
  });
  expect(readOwnFiles(deployment, folder)).toEqual([{ path: 'work/.keep', content: '', isExecutable: false }]);
});

test('a module that is not there, and a program that is no text, are refused', () => {
  const one = (path: string) =>
    deploymentSchema.parse({
      version: 1,
      name: 'notes',
      server: { tools: { greet: { description: 'd', inputSchema: { type: 'object' }, module: { path } } } },
    });
  expect(() => readOwnFiles(one('tools/gone.mjs'), folder)).toThrow('there is no such file');
  put({ 'tools/greet.mjs': 'export {};', 'tools/addon.node': Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 255]) });
  expect(() => readOwnFiles(one('tools/greet.mjs'), folder)).toThrow('tools/addon.node, which goes with');
});

const greet: OwnFile = { path: 'tools/greet.mjs', content: 'export {};', isExecutable: false };
const rendered = (own: readonly OwnFile[]): readonly RenderedFile[] =>
  renderDockerFiles({ ...targetInput(wish), readOwnFiles: () => own });
const textOf = (files: readonly RenderedFile[], path: string): string =>
  files.find((file) => file.path === path)?.content ?? '';

test('they are in the build context, in the image beside its configuration, and in its tag', () => {
  const files = rendered([greet, { path: 'bin/tidy.sh', content: '#!/bin/sh\n', isExecutable: true }]);
  expect(files.filter(({ path }) => path.startsWith('docker/own/')).map(({ path, mode }) => [path, mode])).toEqual([
    ['docker/own/tools/greet.mjs', 0o644],
    ['docker/own/bin/tidy.sh', 0o755],
  ]);
  expect(textOf(files, 'docker/Dockerfile')).toContain('\nCOPY own/ /build/app/\n');
  expect(textOf(files, 'docker/.dockerignore')).toMatch(/^\*[^]*^!own$/m);
  const tags = [
    rendered([greet]),
    rendered([{ ...greet, content: 'export const a = 1;' }]),
    rendered([{ ...greet, isExecutable: true }]),
    rendered([]),
  ].map(contentTag);
  expect(new Set(tags).size).toBe(4);
});

test('an image without them is as it was', () => {
  const files = rendered([]);
  expect(textOf(files, 'docker/Dockerfile')).not.toContain('own/');
  expect(textOf(files, 'docker/.dockerignore')).not.toContain('own');
});

test('only what lies elsewhere is said to be missing in the container', () => {
  const said = planDockerCommands(targetInput(wish)).notices.join('\n');
  expect(said).not.toContain('does not have');
  const other = structuredClone(wish);
  other.server!.tools!['greet'] = {
    description: 'greets',
    inputSchema: { type: 'object' },
    module: { path: '/opt/tools/greet.mjs' },
  };
  expect(planDockerCommands(targetInput(other)).notices.join('\n')).toContain(
    'server.tools.greet names a path of this host',
  );
});
