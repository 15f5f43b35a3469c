import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:tls';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { openEventStream } from '../helpers/open-event-stream.ts';
import { freePorts, startPebble } from '../helpers/pebble.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

interface Shown {
  readonly sources: { readonly certificates: { readonly fingerprint256: string; readonly issuer: string }[] }[];
}

async function servedFingerprint(folder: string, port: number | undefined): Promise<string> {
  const shown = documentOf<Shown>(await runBin(['cert', 'show', `localhost:${port}`, '--json'], { cwd: folder }));
  return shown.sources[0]?.certificates[0]?.fingerprint256 ?? '';
}

test('cert renew: not due, forced, proven on the live socket, while an open stream lives on', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const [port] = await freePorts(1);
    documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
    const yaml = join(folder, 'mcp-deploy.yaml');
    await writeFile(
      yaml,
      (await readFile(yaml, 'utf8')).replace(/^( *)(path: \/mcp.*)$/m, '$1$2\n$1keepAliveSeconds: 0.2'),
    );
    documentOf(await cli('apply', '--json'));
    const first = await servedFingerprint(folder, port);
    const stream = await openEventStream(folder, port);
    expect(stream.status).toBe(200);

    expect(documentOf(await cli('cert', 'renew', '--json'))).toMatchObject({ renewed: false, due: false });
    expect((await cli('cert', 'renew', '--dry-run', '--force')).stdout).toContain('server.crt');
    expect(await servedFingerprint(folder, port)).toBe(first);

    const renewed = await cli('cert', 'renew', '--force', '--exit-code', '--json');
    expect(documentOf(renewed, 10)).toMatchObject({ renewed: true, proven: true });
    const second = await servedFingerprint(folder, port);
    expect(second).not.toBe(first);
    expect(new X509Certificate(await readFile(join(folder, '.mcp-deploy/pki/server.crt'))).fingerprint256).toBe(second);
    const before = stream.bytes();
    await waitUntil(() => stream.bytes() > before, 10_000, 'another keep-alive on the old stream');
    expect(stream.ended()).toBe(false);
    stream.close();
    expect(documentOf(await cli('plan', '--json'))).toMatchObject({ ok: true });
  });
}, 120_000);

test('cert renew: a proxy that goes on showing the old one has everything put back and proven, and is named', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const [port] = await freePorts(1);
    documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
    const pki = join(folder, '.mcp-deploy/pki');
    const pair = { cert: await readFile(join(pki, 'server.crt')), key: await readFile(join(pki, 'server.key')) };
    const proxy = createServer(pair, (socket) => socket.end()).listen(0, '127.0.0.1');
    proxy.on('tlsClientError', () => {});
    await once(proxy, 'listening');
    const { port: deaf } = proxy.address() as { port: number };
    try {
      const yaml = join(folder, 'mcp-deploy.yaml');
      const text = (await readFile(yaml, 'utf8')).replace(/^# *proxy:.*\n(?:#.*\n)*/m, '');
      await writeFile(yaml, `${text}\nproxy:\n  probe: 127.0.0.1:${deaf}\n`);
      const first = await servedFingerprint(folder, port);
      const failed = await cli('cert', 'renew', '--force');
      expect(failed.stderr).toContain(`hop proxy: 127.0.0.1:${deaf}`);
      expect(failed.exitCode, failed.stderr).toBe(4);
      expect(await servedFingerprint(folder, port)).toBe(first);
      expect(new X509Certificate(await readFile(join(pki, 'server.crt'))).fingerprint256).toBe(first);
      expect(await readFile(join(pki, 'server.key'))).toEqual(pair.key);
    } finally {
      proxy.close();
    }
  });
}, 120_000);

testWithTools(
  ['pebble', 'pebble-challtestsrv'],
  'cert renew: an ACME certificate is renewed with the same account, with its key kept where that was asked for',
  async () => {
    const pebble = await startPebble();
    try {
      await withFolder(async (folder) => {
        const cli = (...args: string[]) => runBin(args, { cwd: folder });
        const [port] = await freePorts(1);
        documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
        const flags = [
          `--directory=${pebble.directoryUrl}`,
          `--ca=${pebble.caFile}`,
          `--listen=127.0.0.1:${pebble.httpPort}`,
          '--agree-tos',
          '--reuse-key',
        ];
        documentOf(await cli('cert', 'acme', 'mcp.example.com', ...flags, '--json'));
        const first = await servedFingerprint(folder, port);
        const key = await readFile(join(folder, '.mcp-deploy/pki/server.key'), 'utf8');
        expect(documentOf(await cli('cert', 'renew', '--json'))).toMatchObject({ renewed: false });
        expect(documentOf(await cli('cert', 'renew', '--force', '--json'))).toMatchObject({
          renewed: true,
          proven: true,
        });
        expect(await servedFingerprint(folder, port)).not.toBe(first);
        expect(await readFile(join(folder, '.mcp-deploy/pki/server.key'), 'utf8')).toBe(key);
      });
    } finally {
      await pebble.stop();
    }
  },
  120_000,
);

test('cert renew: a certificate of the user’s own is only looked at, and taken up', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const [port] = await freePorts(1);
    documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
    const live = join(folder, 'live');
    const pki = join(folder, '.mcp-deploy/pki');
    await mkdir(live);
    await writeFile(join(live, 'fullchain.pem'), await readFile(join(pki, 'server.crt')));
    await writeFile(join(live, 'privkey.pem'), await readFile(join(pki, 'server.key')));
    await chmod(join(live, 'privkey.pem'), 0o600);
    const adopted = documentOf<{ hook: { installed: boolean; content: string } }>(
      await cli('cert', 'acme', '--adopt', live, '--json'),
    );
    expect(adopted.hook.installed).toBe(false);
    expect(adopted.hook.content).toContain('cert renew --quiet');
    expect(documentOf(await cli('cert', 'renew', '--json'))).toMatchObject({
      source: 'files',
      renewed: false,
      proven: true,
    });
  });
}, 120_000);
