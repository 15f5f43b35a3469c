import { X509Certificate } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { openEventStream } from '../helpers/open-event-stream.ts';
import { caddyEnv, freePorts, startCaddy, startNginx, type RunningProxy } from '../helpers/proxy-rig.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** A real proxy shows the certificate of the deployment; a renewal is proven on its socket, not on ours alone. */
interface Proxied {
  readonly folder: string;
  readonly port: number;
  readonly cli: (...args: string[]) => ReturnType<typeof runBin>;
  readonly shown: (port: number) => Promise<string>;
  readonly onDisk: () => Promise<string>;
  /** Text of the site file, changed; the proxy is not told. */
  readonly changeSite: (change: (text: string) => string) => Promise<void>;
}

interface Shown {
  readonly sources: { readonly certificates: { readonly fingerprint256: string }[] }[];
}

async function withProxy(kind: 'nginx' | 'caddy', run: (site: Proxied) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const [listen = 0, port = 0, plain = 0, admin = 0] = await freePorts(4);
    const own = join(folder, 'proxy');
    await mkdir(own);
    const env = kind === 'caddy' ? caddyEnv(own) : process.env;
    const cli = (...args: string[]) => runBin(args, { cwd: folder, env });
    documentOf(await cli('up', '--listen', `localhost:${listen}`, '--json'));
    const pki = join(folder, '.mcp-deploy/pki');
    const yaml = join(folder, 'mcp-deploy.yaml');
    const config = join(own, kind === 'nginx' ? 'nginx.conf' : 'Caddyfile');
    const reload =
      kind === 'nginx'
        ? [findProgram('nginx'), '-p', own, '-c', config, '-s', 'reload']
        : [
            findProgram('caddy'),
            'reload',
            '--config',
            config,
            '--adapter',
            'caddyfile',
            '--force',
            '--address',
            `localhost:${admin}`,
          ];
    const text = (await readFile(yaml, 'utf8'))
      .replace(/^# *proxy:.*\n(?:#.*\n)*/m, '')
      .replace(
        /^( *)(path: \/mcp.*)$/m,
        `$1$2\n$1keepAliveSeconds: 0.2\n$1publicUrl: https://localhost:${port}/mcp\n$1behindProxy: false\n$1trustedProxies: [127.0.0.1/32]`,
      );
    await writeFile(
      yaml,
      `${text}\nproxy:\n  certificate: ${pki}/server.crt\n  key: ${pki}/server.key\n  probe: 127.0.0.1:${port}\n  reload: ${JSON.stringify(reload)}\n`,
    );
    documentOf(await cli('apply', '--json'));
    const rendered = documentOf<{ files: { content: string }[] }>(await cli('render', kind, '--json'));
    const site = join(own, 'site');
    const ours = (rendered.files[0]?.content ?? '')
      .replaceAll(/listen (\[::\]:)?80;/g, `listen $1${plain};`)
      .replaceAll(/\/var\/log\/(?:nginx|caddy)/g, own);
    await writeFile(site, ours);
    let proxy: RunningProxy;
    if (kind === 'nginx') proxy = await startNginx(site, own, [port]);
    else {
      await writeFile(
        config,
        `{\n\tadmin localhost:${admin}\n\thttp_port ${plain}\n\tskip_install_trust\n}\n\nimport ${site}\n`,
      );
      proxy = await startCaddy(site, own, [port], { keepMain: true });
    }
    try {
      await run({
        folder,
        port,
        cli,
        shown: async (at) => {
          const seen = documentOf<Shown>(await cli('cert', 'show', `localhost:${at}`, '--json'));
          return seen.sources[0]?.certificates[0]?.fingerprint256 ?? '';
        },
        onDisk: async () => new X509Certificate(await readFile(join(pki, 'server.crt'))).fingerprint256,
        changeSite: async (change) => writeFile(site, change(await readFile(site, 'utf8'))),
      });
    } finally {
      await proxy.stop();
    }
  });
}

for (const kind of ['nginx', 'caddy'] as const) {
  testWithTools(
    [kind],
    `cert renew: ${kind} shows the renewed certificate, and a stream through it lives on`,
    async () => {
      await withProxy(kind, async ({ folder, port, cli, shown, onDisk }) => {
        const first = await shown(port);
        expect(first).toBe(await onDisk());
        const stream = await openEventStream(folder, port);
        expect(stream.status).toBe(200);
        await waitUntil(() => stream.bytes() > 0, 10_000, 'the first keep-alive through the proxy');

        const renewed = await cli('cert', 'renew', '--force', '--json');
        expect(documentOf(renewed)).toMatchObject({ renewed: true, proven: true });
        const second = await onDisk();
        expect(second).not.toBe(first);
        expect(await shown(port)).toBe(second);
        const before = stream.bytes();
        await waitUntil(() => stream.bytes() > before + 3, 10_000, 'keep-alives on the old stream');
        expect(stream.ended()).toBe(false);
        stream.close();
      });
    },
    120_000,
  );

  testWithTools(
    [kind],
    `cert renew: where ${kind} reads another file, all is put back and proven, and the proxy is named`,
    async () => {
      await withProxy(kind, async ({ folder, port, cli, shown, onDisk, changeSite }) => {
        const first = await shown(port);
        const pki = join(folder, '.mcp-deploy/pki');
        const other = join(folder, 'other');
        await mkdir(other);
        for (const name of ['server.crt', 'server.key']) await copyFile(join(pki, name), join(other, name));
        await changeSite((text) => text.replaceAll(`${pki}/server.`, `${other}/server.`));
        const failed = await cli('cert', 'renew', '--force');
        expect(failed.stderr).toContain(`hop proxy: 127.0.0.1:${port}`);
        expect(failed.exitCode, failed.stderr).toBe(4);
        expect(await onDisk()).toBe(first);
        expect(await shown(port)).toBe(first);
      });
    },
    120_000,
  );

  testWithTools(
    [kind],
    `cert renew: a configuration that ${kind} refuses is said, nothing is reloaded, all is put back`,
    async () => {
      await withProxy(kind, async ({ port, cli, shown, onDisk, changeSite }) => {
        const first = await shown(port);
        await changeSite((text) => `${text}\nno such directive;\n`);
        const failed = await cli('cert', 'renew', '--force');
        expect(failed.stderr).toContain('hop proxy: it refuses its configuration');
        expect(failed.stderr).toContain('no');
        expect(failed.exitCode, failed.stderr).toBe(4);
        expect(await onDisk()).toBe(first);
        expect(await shown(port)).toBe(first);
      });
    },
    120_000,
  );
}
