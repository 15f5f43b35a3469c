import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';

interface Status {
  readonly server: { readonly state: string; readonly version?: string };
  readonly certificate: { readonly names: readonly string[] } | null;
}

test('status is about the certificate that is served: the user’s own, or none with tls off', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const file = join(folder, 'mcp-deploy.yaml');
    documentOf(await cli('up', '--json'));
    const pki = join(folder, '.mcp-deploy/pki');
    await mkdir(join(folder, 'own'));
    const chain = await Promise.all(['server.crt', 'ca.crt'].map((name) => readFile(join(pki, name), 'utf8')));
    await writeFile(join(folder, 'own/chain.pem'), chain.join('\n'));
    await writeFile(join(folder, 'own/key.pem'), await readFile(join(pki, 'server.key'), 'utf8'), { mode: 0o600 });
    await writeFile(join(pki, 'server.crt'), 'not served, so nobody looks at it');
    const text = await readFile(file, 'utf8');

    await writeFile(
      file,
      text.replace(/^ {2}source: private-ca.*$/m, '  source: files\n  certificate: own/chain.pem\n  key: own/key.pem'),
    );
    expect((await cli('apply')).exitCode).toBe(0);
    const own = documentOf<Status>(await cli('status', '--json'));
    expect(own.server.version).toBeDefined();
    expect(own.certificate?.names).toContain('localhost');

    await writeFile(file, text.replace(/^ {2}source: private-ca.*$/m, '  source: "off"'));
    expect((await cli('apply')).exitCode).toBe(0);
    const plain = documentOf<Status>(await cli('status', '--json'));
    expect(plain.server.version).toBeDefined();
    expect(plain.certificate).toBe(null);
  });
});
