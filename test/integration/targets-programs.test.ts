import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, type TestContext } from 'vitest';
import { parse } from 'yaml';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { issueRevocationList } from '../../src/pki/revocation-list.ts';
import { findTarget } from '../../src/targets/index.ts';
import { isAtLeast, parseVersion } from '../../src/targets/parse-version.ts';
import type { RenderedFile, ScratchFiles, TargetInput, TargetName } from '../../src/targets/types.ts';
import { caddyEnv, writeCaddyMain, writeHaproxyMain, writeNginxMain } from '../helpers/proxy-rig.ts';
import { goldenCases, isRendered } from '../helpers/target-golden.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram, runTool, testWithTools } from '../helpers/tools.ts';

// Every golden case, read by the program that it is for. The paths of the case are moved below a folder of the
// test, with their odd characters, so that the files they name can really be there.

interface Rendered {
  readonly root: string;
  readonly files: readonly RenderedFile[];
  /** With every path below `root`. */
  readonly input: TargetInput;
}

let folder = '';
let certificate = { certificatePem: '', keyPem: '' };
let revocationList = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-programs-'));
  certificate = await issueSelfSigned({ names: ['localhost'], validDays: 30 });
  const ca = await issuePrivateCa({ commonName: 'clients', names: ['localhost'] });
  revocationList = await issueRevocationList({ ca, revoked: [], number: 1, validDays: 30 });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Cases of other programs are read by these in the tests of watching, hosts and containers. */
const readHere = ['nginx', 'caddy', 'haproxy', 'systemd', 'systemd-user', 'launchd', 'docker'] as const;
const cases = goldenCases().filter((each) => readHere.some((target) => isRendered(each, target)));

describe.each(cases)('golden case $name', ({ name, input, targets }) => {
  /** A test of the files of one target: declared where the case is for it and not refused. */
  function testFiles(
    target: TargetName,
    program: string,
    title: string,
    run: (rendered: Rendered, context: TestContext) => void,
  ): void {
    if (!isRendered({ input, targets }, target)) return;
    testWithTools([program], title, (context) => {
      const root = mkdtempSync(join(folder, `${target}-`));
      const moved = moveBelow(input, root);
      run({ root, input: moved, files: findTarget(target).files(moved) }, context);
    });
  }

  const only = (files: readonly RenderedFile[]): string => files[0]?.content ?? '';

  testFiles('nginx', 'nginx', `nginx accepts ${name} without a warning`, (rendered, context) => {
    if (isNewerThanInstalled(rendered.input, 'nginx', ['-v'])) context.skip('for a newer nginx than the one here');
    const { root, files } = rendered;
    const text = only(files).replaceAll('/etc/letsencrypt', `${root}/etc/letsencrypt`);
    writeCertificates(
      text,
      /^\s*(?:ssl_certificate|ssl_certificate_key|ssl_client_certificate|ssl_crl|proxy_ssl_trusted_certificate) (.+);$/gm,
      unquoteNginx,
    );
    writeFileSync(join(root, 'site'), text);
    const main = writeNginxMain(join(root, 'site'), root);
    const { stderr, status } = run('nginx', ['-t', '-p', root, '-c', main]);
    expect(stderr).not.toMatch(/\[(?:warn|emerg|error|alert|crit)\]/);
    expect(status).toBe(0);
  });

  testFiles('caddy', 'caddy', `Caddy accepts ${name}, formatted as it formats`, (rendered, context) => {
    if (isNewerThanInstalled(rendered.input, 'caddy', ['version'])) context.skip('for a newer Caddy than the one here');
    const { root, files } = rendered;
    const text = only(files);
    writeCertificates(text, /^\ttls ([^{\n]+)/gm, (quoted) => quoted);
    for (const [, path = ''] of text.matchAll(/^\t+(?:tls_trusted_ca_certs|trusted_ca_cert_file) (.+)$/gm))
      writePem(unquoteCaddy(path)[0] ?? '');
    const site = join(root, 'site');
    writeFileSync(site, text);
    const environment = caddyEnv(root);
    const validated = run(
      'caddy',
      ['validate', '--config', writeCaddyMain(site, root), '--adapter', 'caddyfile'],
      environment,
    );
    expect([validated.status, caddyComplaints(validated.stderr)]).toEqual([0, []]);
    const formatted = run('caddy', ['fmt', '--diff', site], environment);
    expect(formatted.stdout.split('\n').filter((line) => /^[-+]/.test(line))).toEqual([]);
    expect(formatted.status).toBe(0);
  });

  testFiles('haproxy', 'haproxy', `HAProxy accepts ${name} without a warning`, (rendered, context) => {
    if (isNewerThanInstalled(rendered.input, 'haproxy', ['-v'])) context.skip('for a newer HAProxy than the one here');
    const { root, files } = rendered;
    const text = only(files).replaceAll('/etc/letsencrypt', `${root}/etc/letsencrypt`);
    for (const [, crt = ''] of text.matchAll(/ ssl crt ('[^']*'|"(?:[^"\\]|\\.)*"|\S+)/g)) {
      writePem(unquoteHaproxy(crt));
      writePem(`${unquoteHaproxy(crt)}.key`);
    }
    for (const [, ca = ''] of text.matchAll(/ (?:ca|crl)-file ('[^']*'|"(?:[^"\\]|\\.)*"|\S+)/g))
      writePem(unquoteHaproxy(ca));
    const file = join(root, 'site.cfg');
    writeFileSync(file, text);
    const { stdout, stderr, status } = run('haproxy', ['-c', '-f', writeHaproxyMain(root), '-f', file]);
    expect([status, `${stdout}${stderr}`]).toEqual([0, expect.not.stringMatching(/\[(?:WARNING|ALERT)\]/)]);
  });

  testFiles('systemd', 'systemd-analyze', `systemd accepts ${name} and finds it well confined`, (rendered, context) => {
    if (isNewerThanInstalled(rendered.input, 'systemd-analyze', ['--version']))
      context.skip('for a newer systemd than the one here');
    const { root, files, input: moved } = rendered;
    // verify looks for the program of ExecStart: it finds this one only when it reads our quotes as we mean them.
    mkdirSync(dirname(moved.paths.nodePath), { recursive: true });
    writeFileSync(moved.paths.nodePath, '#!/bin/sh\n', { mode: 0o755 });
    // Beside each other, as on a host: a service names its sockets.
    const units = files.map((file) => join(root, basename(file.path)));
    for (const [index, unit] of units.entries()) writeFileSync(unit, files[index]?.content ?? '');
    expect(verifyUnit(...units)).toEqual({ status: 0, stderr: '' });

    const security = run('systemd-analyze', [
      'security',
      '--offline=true',
      // What an old systemd does not know cannot confine.
      moved.programVersion === '239' ? '--threshold=30' : '--threshold=15',
      '--no-pager',
      units[0] ?? '',
    ]);
    expect([security.status, security.stdout]).toEqual([
      0,
      expect.stringMatching(/Overall exposure level for .*: [01]\.\d/),
    ]);
  });

  testFiles('systemd-user', 'systemd-analyze', `the systemd of a person accepts ${name}`, (rendered, context) => {
    if (isNewerThanInstalled(rendered.input, 'systemd-analyze', ['--version']))
      context.skip('for a newer systemd than the one here');
    const { root, files, input: moved } = rendered;
    mkdirSync(dirname(moved.paths.nodePath), { recursive: true });
    writeFileSync(moved.paths.nodePath, '#!/bin/sh\n', { mode: 0o755 });
    const unit = join(root, basename(files[0]?.path ?? ''));
    writeFileSync(unit, only(files));
    const { status, stderr } = run('systemd-analyze', ['--user', 'verify', unit], {
      ...process.env,
      XDG_RUNTIME_DIR: root,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  testFiles('launchd', 'plistutil', `plistutil reads ${name} back as it was meant`, (rendered) => {
    const { root, files, input: moved } = rendered;
    const [source, binary, back] = ['agent.plist', 'agent.bin', 'agent.back.plist'].map((name) => join(root, name));
    writeFileSync(source ?? '', only(files));
    runTool('plistutil', ['-i', source ?? '', '-f', 'bin', '-o', binary ?? '']);
    runTool('plistutil', ['-i', binary ?? '', '-f', 'xml', '-o', back ?? '']);
    const values = [...readFileSync(back ?? '', 'utf8').matchAll(/<string>([^<]*)<\/string>/g)].map(([, text = '']) =>
      unescapeXml(text),
    );
    const { paths } = moved;
    expect(values).toEqual(
      expect.arrayContaining([paths.nodePath, paths.serverFile, paths.configFile, paths.baseDir, paths.logFile]),
    );
  });

  testFiles('docker', 'docker-compose', `Compose reads ${name} back as it was meant`, (rendered) => {
    const { root, files, input: moved } = rendered;
    const compose = files.find(({ path }) => path.endsWith('compose.yaml'))?.content ?? '';
    // docker-compose 1.29, which Debian 12 has, knows neither the name of a project nor restart: true; Compose 2 does.
    writeFileSync(
      join(root, 'compose.yaml'),
      compose.replace(/^name: .*\n/m, '').replaceAll(/^ +restart: true\n/gm, ''),
    );
    const { status, stdout, stderr } = run('docker-compose', ['-f', join(root, 'compose.yaml'), 'config'], {
      ...process.env,
      NOTES_TOKEN: 'token from outside',
    });
    expect([status, stderr]).toEqual([0, expect.not.stringMatching(/WARN|ERROR/i)]);
    const read = parse(stdout) as {
      secrets: Record<string, { file: string }>;
      services: { server: { read_only: boolean; cap_drop: string[]; secrets: { source: string; target: string }[] } };
    };
    // config escapes dollar signs once more, for a file of its own.
    expect(read.secrets['mcp_keys']?.file.replaceAll('$$', '$')).toBe(moved.paths.keyStoreFile);
    expect(read.services.server).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
    // No secret is a value of the file: keys and certificates are named, never held.
    expect(compose).not.toMatch(/token from outside|BEGIN|[A-Za-z0-9_-]{43}/);
  });
});

// The same hostile texts as in the table of the unit tests, in every path of one site, read by the program itself.
const hostile = [
  '; } {',
  '"quoted"',
  "it's",
  '`tick`',
  'back\\',
  '$host',
  '{$HOME}',
  '{http.request.uri}',
  '%h %[src] 100%',
  '# comment',
  'emoji 🚀',
  ' blank ',
  '~^.*$',
  '{{x}}',
];
for (const target of ['nginx', 'caddy', 'haproxy'] as const) {
  testWithTools([target], `${target} opens files by hostile names, where they are not refused`, async () => {
    const opened: string[] = [];
    for (const [index, text] of hostile.entries()) {
      const root = mkdtempSync(join(folder, `${target}-hostile-`));
      const files = join(root, text);
      const scratch: ScratchFiles = {
        folder: root,
        certificateFile: join(files, 'cert.pem'),
        keyFile: join(files, 'key.pem'),
        caFile: join(files, 'ca.pem'),
        crlFile: join(files, 'list.crl.pem'),
      };
      for (const path of [scratch.certificateFile, scratch.keyFile, scratch.caFile, scratch.crlFile]) writePem(path);
      writePem(`${scratch.certificateFile}.key`);
      const clients = { clientCa: '/ca', ...(target === 'caddy' ? {} : { revokedClients: '/crl' }) };
      const input = targetInput({
        version: 1,
        proxy: { serverName: 'mcp.example.com', certificate: '/c', key: '/k', ...clients },
      });
      let trial;
      try {
        trial = findTarget(target).trial?.(input, scratch);
      } catch (error) {
        expect(error).toMatchObject({ name: 'UserError' });
        continue;
      }
      for (const { path, content } of trial?.files ?? []) writeFileSync(path, content);
      const [program = '', ...args] = trial?.argv ?? [];
      const { status, stdout, stderr } = run(program, args);
      expect([text, status, `${stdout}${stderr}`]).toEqual([
        text,
        0,
        expect.not.stringMatching(trial?.complaint ?? /x/) as unknown,
      ]);
      opened.push(hostile[index] ?? '');
    }
    // Each format has its own that it cannot hold; most can be quoted.
    expect(opened.length).toBeGreaterThan(6);
  });
}

for (const target of ['nginx', 'caddy'] as const) {
  testWithTools([target], `two deployments and somebody else’s site share one ${target} and its ports`, () => {
    const root = mkdtempSync(join(folder, `${target}-shared-`));
    const cases = goldenCases().filter(({ name }) => ['public-name', 'unix-socket', 'tls-files'].includes(name));
    const sites = cases.map(({ input }) => findTarget(target).files(moveBelow(input, root))[0]?.content ?? '');
    const foreign = {
      nginx:
        'server { listen 18443 ssl; server_name other.test; ssl_certificate /c.pem; ssl_certificate_key /c.key; }\n',
      caddy: 'https://other.test:18443 {\n\ttls internal\n}\n',
    };
    const text = [...sites, foreign[target].replaceAll('/c.', `${root}/c.`)]
      .join('\n')
      .replaceAll('/etc/letsencrypt', root);
    expect(cases.length).toBe(3);
    writeCertificates(text, /(?:ssl_certificate|proxy_ssl_trusted_certificate) ([^;]+);/g, unquoteNginx);
    writeCertificates(text, /ssl_certificate_key ([^;]+);/g, unquoteNginx);
    writeCertificates(text, /^\ttls (\/.+)$/gm, (quoted) => quoted);
    for (const [, path = ''] of text.matchAll(/^\t+(?:tls_trusted_ca_certs|trusted_ca_cert_file) (.+)$/gm))
      writePem(unquoteCaddy(path)[0] ?? '');
    const site = join(root, 'site');
    writeFileSync(site, text);
    if (target === 'nginx') {
      const { stderr, status } = run('nginx', ['-t', '-p', root, '-c', writeNginxMain(site, root)]);
      expect([status, stderr]).toEqual([0, expect.not.stringMatching(/\[(?:warn|emerg|error)\]/)]);
    } else {
      const args = ['validate', '--config', writeCaddyMain(site, root), '--adapter', 'caddyfile'];
      const { stderr, status } = run('caddy', args, caddyEnv(root));
      expect([status, caddyComplaints(stderr)]).toEqual([0, []]);
    }
  });
}

testWithTools(['systemd-analyze'], 'a misspelt setting of a unit is seen, although systemd-analyze exits 0', () => {
  const input = goldenCases()[0]?.input;
  if (input === undefined) throw new Error('no golden case');
  const node = findProgram('node') ?? process.execPath;
  const text = only(findTarget('systemd').files({ ...input, paths: { ...input.paths, nodePath: node } }));
  const right = join(folder, 'right.service');
  const wrong = join(folder, 'wrong.service');
  writeFileSync(right, text);
  writeFileSync(wrong, text.replace('MemoryMax=', 'MemoryLimitt='));
  expect(verifyUnit(right)).toEqual({ status: 0, stderr: '' });
  expect(verifyUnit(wrong)).toEqual({ status: 0, stderr: expect.stringContaining('MemoryLimitt') as unknown });

  function only(files: readonly RenderedFile[]): string {
    return files[0]?.content ?? '';
  }
});

function verifyUnit(...units: readonly string[]): { status: number | null; stderr: string } {
  const { status, stderr } = run('systemd-analyze', ['verify', ...units]);
  return { status, stderr };
}

function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { status: number | null; stdout: string; stderr: string } {
  const path = findProgram(program);
  if (path === null) throw new Error(`${program} is not installed`);
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

/** What Caddy warns of, but for two things that are as they should be. */
function caddyComplaints(log: string): string[] {
  return (
    log
      .split('\n')
      .filter((line) => /"level":"(?:warn|error)"/.test(line))
      // Where clients show certificates, Caddy refuses requests for another host than that of the handshake: so it should.
      .filter((line) => !line.includes('strict SNI-Host enforcement'))
      .filter((line) => !line.includes('no OCSP server specified in certificate'))
      .filter((line) => !line.includes('server is listening only on the HTTP port'))
  );
}

/** A case for a version that is newer than the program here cannot be judged by it. */
function isNewerThanInstalled(input: TargetInput, program: string, versionArgs: readonly string[]): boolean {
  if (input.programVersion === undefined) return false;
  const path = findProgram(program) ?? program;
  const shown = spawnSync(path, versionArgs, { encoding: 'utf8' });
  const installed = parseVersion(`${shown.stdout}${shown.stderr}`.trim());
  return !isAtLeast(installed, parseVersion(input.programVersion));
}

/** Every absolute path of the input below `root`. */
function moveBelow(input: TargetInput, root: string): TargetInput {
  const below = (path: string): string => (path.startsWith('/') ? root + path : path);
  const { deployment } = input;
  const { proxy, tls } = deployment;
  const paths = Object.fromEntries(
    Object.entries(input.paths).map(([name, value]) => [name, typeof value === 'string' ? below(value) : value]),
  ) as unknown as TargetInput['paths'];
  return {
    ...input,
    paths: { ...paths, proxyLogDir: root, upstreamCaFile: join(root, 'ca certificates.pem') },
    // Low ports are for root only.
    proxyPorts: { https: 18_443, http: 18_080 },
    deployment: {
      ...deployment,
      tls: tls.source === 'files' ? { ...tls, certificate: below(tls.certificate), key: below(tls.key) } : tls,
      proxy: {
        ...proxy,
        ...(proxy.certificate === undefined ? {} : { certificate: below(proxy.certificate) }),
        ...(proxy.key === undefined ? {} : { key: below(proxy.key) }),
        ...(proxy.clientCa === undefined ? {} : { clientCa: below(proxy.clientCa) }),
        ...(proxy.revokedClients === undefined ? {} : { revokedClients: below(proxy.revokedClients) }),
      },
    },
  };
}

/** Puts a certificate or a key wherever the text names one. */
function writeCertificates(text: string, directive: RegExp, unquote: (quoted: string) => string): void {
  for (const [, quoted = ''] of text.matchAll(directive)) {
    const paths = directive.source.includes('ssl_') ? [unquote(quoted)] : unquoteCaddy(quoted);
    for (const path of paths) if (path.startsWith('/')) writePem(path);
  }
}

function writePem(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  if (path.endsWith('.crl.pem')) writeFileSync(path, revocationList);
  else writeFileSync(path, /key[^/]*$/.test(path) ? certificate.keyPem : certificate.certificatePem);
}

function unquoteNginx(quoted: string): string {
  return quoted.startsWith('"') ? quoted.slice(1, -1).replace(/\\(["\\])/g, '$1') : quoted;
}

function unquoteHaproxy(quoted: string): string {
  if (quoted.startsWith("'")) return quoted.slice(1, -1);
  return quoted.startsWith('"') ? quoted.slice(1, -1).replace(/\\(["\\$])/g, '$1') : quoted;
}

/** The tokens of a line of a Caddyfile. */
function unquoteCaddy(line: string): string[] {
  return [...line.matchAll(/`([^`]*)`|"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, ticked, quoted, bare]) => ticked ?? quoted?.replaceAll('\\"', '"') ?? bare ?? '',
  );
}

function unescapeXml(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');
}
