import { copyFile, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { freePorts } from '../helpers/pebble.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

interface Shown {
  readonly sources: { readonly certificates: { readonly issuer: string; readonly fingerprint256: string }[] }[];
}

/** A company's CA has answered: its certificate, the key of the request, and the CA's own certificate. */
async function writeAnswer(folder: string): Promise<void> {
  const company = await issuePrivateCa({ commonName: 'Company CA', names: ['localhost', '127.0.0.1'] });
  const pair = await issueCertificate({ ca: company, names: ['localhost', '127.0.0.1'], validDays: 90 });
  await writeFile(join(folder, 'company.crt'), company.certificatePem);
  await writeFile(join(folder, 'answer.crt'), pair.certificatePem);
  await writeFile(join(folder, 'answer.key'), pair.keyPem, { mode: 0o600 });
}

test('cert import --apply: the pair is served and proven; what does not work is taken back, mcp-deploy.yaml too', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const [port = 0] = await freePorts(1);
    documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
    const served = async () =>
      documentOf<Shown>(await cli('cert', 'show', `localhost:${port}`, '--json')).sources[0]?.certificates[0];
    const first = await served();
    const yaml = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
    await writeAnswer(folder);
    const asked = ['cert', 'import', 'answer.crt', '--key', 'answer.key', '--ca-file', 'company.crt', '--apply'];

    // A proxy that would go on showing another certificate: what cannot be proven is not kept.
    const text = yaml.replace(/^# *proxy:.*\n(?:#.*\n)*/m, '');
    await writeFile(join(folder, 'mcp-deploy.yaml'), `${text}\nproxy:\n  probe: 127.0.0.1:1\n`);
    const failed = await cli(...asked, '--out', 'refused');
    expect(failed.stderr).toContain('hop proxy: 127.0.0.1:1');
    expect(failed.exitCode, failed.stderr).toBe(4);
    // The undo starts the former server anew, which takes a moment to listen.
    const back = () => cli('cert', 'show', `localhost:${port}`);
    await waitUntil(async () => (await back()).exitCode === 0, 15_000, 'the former server');
    expect(await served()).toEqual(first);
    expect(await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8')).not.toContain('source: files');
    await writeFile(join(folder, 'mcp-deploy.yaml'), yaml);

    const done = documentOf(await cli(...asked, '--out', 'tls', '--json'));
    expect(done).toMatchObject({ applied: true });
    expect((await served())?.issuer).toContain('Company CA');
    expect(await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8')).toContain('certificate: tls/server.crt');
    expect((await stat(join(folder, 'tls/server.key'))).mode & 0o777).toBe(0o600);
    expect(documentOf(await cli('cert', 'renew', '--json'))).toMatchObject({ source: 'files', proven: true });
    expect((await cli('plan', '--check')).exitCode).toBe(0);
  });
}, 120_000);

testWithTools(
  ['openssl'],
  'cert import takes a PKCS#7 bundle as companies send it, in DER and in PEM',
  async () => {
    await withFolder(async (folder) => {
      const cli = (...args: string[]) => runBin(args, { cwd: folder });
      await writeAnswer(folder);
      const bundle = [
        'crl2pkcs7',
        '-nocrl',
        '-certfile',
        join(folder, 'company.crt'),
        '-certfile',
        join(folder, 'answer.crt'),
      ];
      for (const form of ['DER', 'PEM']) {
        const file = join(folder, `answer.${form}.p7b`);
        runTool('openssl', [...bundle, '-outform', form, '-out', file]);
        const imported = await cli('cert', 'import', file, '--key', 'answer.key', '--out', `from-${form}`, '--json');
        expect(documentOf(imported)).toMatchObject({ ok: true });
        expect(await readFile(join(folder, `from-${form}/server.crt`))).toEqual(
          await readFile(join(folder, 'answer.crt')),
        );
        const shown = documentOf<Shown>(await cli('cert', 'show', file, '--json'));
        expect(shown.sources[0]?.certificates).toHaveLength(2);
      }
      const cut = (await readFile(join(folder, 'answer.DER.p7b'))).subarray(0, 300);
      await writeFile(join(folder, 'cut.p7b'), cut);
      const refused = await cli('cert', 'import', 'cut.p7b', '--key', 'answer.key', '--out', 'cut');
      expect(refused.exitCode).toBe(2);
      expect(await readdir(folder)).not.toContain('cut');
    });
  },
  60_000,
);

test('cert revoke on the deployment: verify says so, plan stays quiet, a second revoke changes nothing, uninstall leaves nothing', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const [port = 0] = await freePorts(1);
    documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
    documentOf(await cli('cert', 'issue', '--client', '--common-name', 'alice laptop', '--out', 'alice', '--json'));
    const pki = join(folder, '.mcp-deploy/pki');
    await copyFile(join(pki, 'ca.crt'), join(folder, 'ca.crt'));
    const verify = () =>
      cli('cert', 'verify', 'alice/client.crt', '--client', '--ca-file', 'ca.crt', '--crl', join(pki, 'ca.crl'));
    const revoked = documentOf(await cli('cert', 'revoke', 'alice/client.crt', '--reason', 'key-compromise', '--json'));
    expect(revoked).toMatchObject({ number: 1, revoked: 1 });
    const seen = await verify();
    expect(seen.exitCode, seen.stderr + seen.stdout).toBe(1);
    expect(seen.stdout).toContain('revoked');
    expect((await cli('plan', '--check')).exitCode).toBe(0);
    expect((await cli('cert', 'revoke', 'alice/client.crt')).stdout).toContain('is revoked already');
    const gone = await cli('uninstall', '--yes');
    expect(gone.exitCode, gone.stderr).toBe(0);
    expect((await readdir(folder)).toSorted()).not.toContain('.mcp-deploy');
    expect(await readdir(folder)).toContain('alice');
  });
}, 120_000);
