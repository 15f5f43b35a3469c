import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { freePorts, startPebble, type Pebble } from '../helpers/pebble.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { snapshotTree } from '../helpers/tree.ts';

const tools = ['pebble', 'pebble-challtestsrv'];
const installed = tools.every((tool) => findProgram(tool) !== null);
let pebble: Pebble;

beforeAll(async () => {
  if (installed) pebble = await startPebble();
}, 30_000);
afterAll(() => (installed ? pebble.stop() : undefined));

function acmeFlags(authority: Pebble): readonly string[] {
  return [
    `--directory=${authority.directoryUrl}`,
    `--ca=${authority.caFile}`,
    '--agree-tos',
    `--listen=127.0.0.1:${authority.httpPort}`,
  ];
}

testWithTools(
  tools,
  'cert acme: a rehearsal writes nothing, then the certificate is served, and a second run has nothing to do',
  async () => {
    await withFolder(async (folder) => {
      const cli = (...args: string[]) => runBin(args, { cwd: folder });
      const [port] = await freePorts(1);
      documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
      const before = await snapshotTree(folder);
      const names = ['mcp.example.com', 'www.example.com'];
      const flags = acmeFlags(pebble);
      const rehearsed = documentOf(await cli('cert', 'acme', ...names, ...flags, '--dry-run', '--json'));
      expect(rehearsed).toMatchObject({ ok: true, dryRun: true, names });
      expect(await snapshotTree(folder)).toEqual(before);

      const refused = await cli('cert', 'acme', ...names, ...flags.filter((flag) => flag !== '--agree-tos'));
      expect(refused.exitCode).toBe(2);
      expect(refused.stderr).toContain('--agree-tos');

      expect(documentOf(await cli('cert', 'acme', ...names, ...flags, '--json'))).toMatchObject({ changed: true });
      const accounts = join(folder, '.mcp-deploy/acme');
      const [account = ''] = await readdir(accounts);
      expect((await stat(join(accounts, account))).mode & 0o777).toBe(0o600);
      const served = documentOf<{ sources: { certificates: { names: string[] }[] }[] }>(
        await cli('cert', 'show', `localhost:${port}`, '--json'),
      );
      expect(served.sources[0]?.certificates[0]?.names.toSorted()).toEqual(names);
      expect(await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8')).toContain('source: acme');
      expect(documentOf(await cli('cert', 'acme', '--json'))).toMatchObject({ changed: false });
      expect(documentOf(await cli('apply', '--json'))).toMatchObject({ changed: false });
    });
  },
  90_000,
);

testWithTools(
  tools,
  'cert acme: a failed order leaves everything as it was, but the account key, which the next try uses',
  async () => {
    await withFolder(async (folder) => {
      const cli = (...args: string[]) => runBin(args, { cwd: folder });
      const [port, wrong] = await freePorts(2);
      documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
      const before = await readFile(join(folder, '.mcp-deploy/pki/server.crt'), 'utf8');
      const flags = acmeFlags(pebble);
      const failed = await cli('cert', 'acme', 'mcp.example.com', ...flags, '--listen', `127.0.0.1:${wrong}`);
      expect(failed.exitCode).toBe(4);
      expect(failed.stderr).toContain('could not check mcp.example.com by http-01');
      expect(await readFile(join(folder, '.mcp-deploy/pki/server.crt'), 'utf8')).toBe(before);
      expect(await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8')).toContain('source: private-ca');
      const accounts = join(folder, '.mcp-deploy/acme');
      const [account = ''] = await readdir(accounts);
      const key = await readFile(join(accounts, account), 'utf8');
      documentOf(await cli('cert', 'acme', 'mcp.example.com', ...flags, '--json'));
      expect(await readFile(join(accounts, account), 'utf8')).toBe(key);
    });
  },
  90_000,
);
