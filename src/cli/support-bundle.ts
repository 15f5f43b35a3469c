import { readdir, readFile, stat } from 'node:fs/promises';
import { arch, cpus, freemem, hostname, platform, release, totalmem, uptime, version } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import { hideSecrets } from '../deployment/hide-secrets.ts';
import { readYamlText } from '../deployment/read-yaml-text.ts';
import { redactText } from '../deployment/redact-text.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { ProxyConfigSeen } from '../doctor/observations.ts';
import { describeReport } from '../doctor/report/report-schema.ts';
import { mapTexts, shareableReport } from '../doctor/report/shareable-report.ts';
import type { DoctorReport } from '../doctor/types.ts';
import { writeBundle, type BundleEntry } from '../host/write-bundle.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import { readLastBytes } from './read-last-bytes.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';
import { formatPlainReport } from './show-report.ts';

const logLines = 500;
/** Read before lines are taken, so that a secret over many lines is seen whole. */
const logBytes = 2_097_152;

/**
 * The file of --bundle, or null.
 * @throws UserError when it could not be written there, before anything is looked at.
 */
export async function readBundleChoice(context: CommandContext, options: FlagValues): Promise<string | null> {
  const named = textFlag(options, 'bundle');
  if (named === undefined) return null;
  if (!/\.(?:tar\.gz|tgz)$/.test(named)) {
    throw new UserError(`--bundle ${named} does not end in .tar.gz.`, { next: `--bundle ${named}.tar.gz` });
  }
  const file = resolve(context.world.cwd, named);
  if ((await context.ports.files.stat(file)) !== null) throw isThere(named);
  if ((await context.ports.files.stat(dirname(file)))?.kind !== 'directory') {
    throw new UserError(`The folder ${dirname(file)} does not exist.`, { next: `mkdir -p ${dirname(file)}` });
  }
  return file;
}

function isThere(file: string): UserError {
  return new UserError(`${file} is there already; nothing was written.`, { next: 'Name another file with --bundle.' });
}

/** Writes everything that helps somebody else to see what is wrong, with every secret hidden. */
export async function writeSupportBundle(
  context: CommandContext,
  file: string,
  report: DoctorReport,
  given: {
    readonly key: string | null;
    readonly otherKey?: string | null;
    readonly proxyConfig?: ProxyConfigSeen | string | null;
  },
): Promise<void> {
  const deployment = await readAppliedDeployment(context).catch(() => null);
  const settings = await readSettings(context, deployment);
  const secrets = [
    ...[given.key, given.otherKey].filter((key) => typeof key === 'string'),
    ...(await knownSecrets(context, settings ?? [])),
  ];
  const leftOut: { path: string; reason: string }[] = [];
  const entries: BundleEntry[] = [];
  const add = (path: string, text: string | null, reason: string): void => {
    if (text === null) leftOut.push({ path, reason });
    else entries.push({ path, text: redactText(text, secrets) });
  };
  const shared = shareableReport(report);
  // Within the texts of the document: it has to stay one.
  const document = mapTexts(describeReport(shared), (text) => redactText(text, secrets));
  entries.push({ path: 'report.json', text: `${JSON.stringify(document, null, 2)}\n` });
  add('report.txt', formatPlainReport(shared), '');
  add('versions.json', await describeVersions(context), '');
  add('host.json', await describeHost(context), '');
  const paths = deploymentPaths(context.stateDir);
  for (const [path, source] of [
    ['mcp-deploy.yaml', context.deploymentFile],
    ['server.json', paths.serverConfig],
  ] as const) {
    const text = await readText(source);
    const safe = text === null ? null : hideSecrets(text);
    add(path, safe, text === null ? 'it is not there' : 'it cannot be read, so nothing can be told apart in it');
  }
  const audit = (settings ?? []).map(auditFileOf).find((named) => named !== null) ?? null;
  for (const [path, source] of [
    ['server.log', paths.logFile],
    ['audit.log', audit === null ? null : resolve(context.baseDir, audit)],
  ] as const) {
    if (settings === null) add(path, null, 'the settings cannot be read, so it is not known which secrets it may hold');
    else add(path, source === null ? null : await lastLines(source, secrets), 'it is not there');
  }
  const { proxyConfig = null } = given;
  if (proxyConfig === null || typeof proxyConfig === 'string') {
    add('proxy', null, proxyConfig ?? 'it was not asked for (--proxy-config auto)');
  } else {
    for (const [index, { path, text }] of proxyConfig.files.entries()) {
      add(`proxy/${index + 1}.conf`, `# ${path}\n${text}`, '');
    }
  }
  const manifest = await writeBundle(file, entries, {
    createdAt: context.ports.clock.now(),
    toolVersion: context.package.version,
    leftOut: leftOut.map(({ path, reason }) => ({ path, reason: redactText(reason, secrets) })),
  });
  if (manifest === null) throw isThere(file);
  const { output } = context;
  output.progress(`  ${output.err.green('✓')} support bundle: ${file}, ${manifest.files.length} files, 0600`);
  output.progress(
    `    Secrets are hidden in it; names of hosts and tools are not. Look before you send it: tar xzf ${file}`,
  );
}

/** Values that are secrets for sure: keys in clear, private keys, passphrases, and what environments and headers are given. */
async function knownSecrets(context: CommandContext, written: readonly unknown[]): Promise<readonly string[]> {
  const paths = deploymentPaths(context.stateDir);
  const found: string[] = [];
  for (const folder of [paths.keysDir, paths.pkiDir, join(paths.configDir, 'acme')]) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (!/\.(?:key|pass|passphrase|txt)$/.test(name)) continue;
      const text = await readText(join(folder, name));
      if (text !== null && text.length < 65_536)
        found.push(text, ...text.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----')));
    }
  }
  for (const text of written.flatMap((value) => secretTexts(value, false))) {
    found.push(text);
    for (const [, name = ''] of text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)/g)) {
      const value = context.world.env[name];
      if (value !== undefined) found.push(value);
    }
    const path = /^\$?\{?file:([^}]+)\}?$/.exec(text)?.[1];
    const content = path === undefined ? null : await readText(resolve(context.baseDir, path));
    if (content !== null) found.push(content);
  }
  for (const path of written.flatMap(passphraseFiles)) {
    const content = await readText(resolve(context.baseDir, path));
    if (content !== null) found.push(content);
  }
  for (const [name, value] of Object.entries(context.world.env)) {
    if (value !== undefined && secretVariable.test(name)) found.push(value);
  }
  return found.filter((text) => !/^\$\{[^}]*\}$/.test(text));
}

const secretVariable = /(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PAT)$/i;

/** Literals in maps that are called env or headers, wherever they stand. */
function secretTexts(value: unknown, within: boolean): readonly string[] {
  if (typeof value === 'string') return within ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) =>
    secretTexts(member, within || name === 'env' || name === 'headers'),
  );
}

/** The audit file of settings, also of server.json, where they are one level down. */
function auditFileOf(settings: unknown): string | null {
  const at = (value: unknown, name: string): unknown =>
    typeof value === 'object' && value !== null ? Object.entries(value).find(([key]) => key === name)?.[1] : undefined;
  const file = at(at(at(settings, 'deployment') ?? settings, 'logs'), 'audit');
  return typeof file === 'string' && file !== 'off' ? file : null;
}

function passphraseFiles(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) =>
    typeof member === 'string' && /(?:passphrase|secret|password|auditKey)File$/i.test(name)
      ? [member]
      : passphraseFiles(member),
  );
}

/** What is written down, read loosely: also a file with mistakes holds secrets. Null when one cannot be read at all. */
async function readSettings(
  context: CommandContext,
  deployment: Deployment | null,
): Promise<readonly unknown[] | null> {
  const found: unknown[] = [deployment];
  for (const file of [context.deploymentFile, deploymentPaths(context.stateDir).serverConfig]) {
    const text = await readText(file);
    if (text === null) continue;
    const { data } = readYamlText(text);
    if (data === undefined) return null;
    found.push(data);
  }
  return found;
}

/** Redacted before it is cut, so that what stands over several lines is not torn. */
async function lastLines(file: string, secrets: readonly string[]): Promise<string | null> {
  const text = await readLastBytes(file, logBytes);
  if (text === null) return null;
  return redactText(text, secrets).trimEnd().split('\n').slice(-logLines).join('\n') + '\n';
}

async function describeVersions({ package: { version: own }, ports }: CommandContext): Promise<string> {
  const programs = {
    nginx: ['-v'],
    caddy: ['version'],
    haproxy: ['-v'],
    systemctl: ['--version'],
    openssl: ['version'],
  };
  const found = await Promise.all(
    Object.entries(programs).map(async ([name, args]) => {
      const ran = await ports.processes.run([name, ...args], 3_000).catch(() => null);
      const line = [...(ran?.output ?? '').split('\n'), ...(ran?.lastWords ?? [])].find((each) => each !== '');
      return [name, ran?.exitCode === 0 ? (line ?? '') : null] as const;
    }),
  );
  const { node, openssl, v8 } = process.versions;
  return `${JSON.stringify({ mcpDeploy: own, node, openssl, v8, programs: Object.fromEntries(found) }, null, 2)}\n`;
}

async function describeHost({ stateDir, ports }: CommandContext): Promise<string> {
  const paths = deploymentPaths(stateDir);
  const server = await ports.processes.serverState(paths.pidFile).catch(() => null);
  const document = {
    hostName: hostname(),
    system: { platform: platform(), arch: arch(), release: release(), version: version() },
    cpus: cpus().length,
    memory: { totalBytes: totalmem(), freeBytes: freemem() },
    upSeconds: Math.round(uptime()),
    user: process.getuid?.() ?? null,
    stateDir,
    server: server?.state ?? null,
    files: await listFiles(stateDir),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Names, sizes and modes, nothing of what is in them. */
async function listFiles(folder: string): Promise<readonly object[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return Promise.all(
    names
      .toSorted()
      .slice(0, 500)
      .map(async (path) => {
        const seen = await stat(join(folder, path)).catch(() => null);
        return { path, size: seen?.size ?? null, mode: seen === null ? null : (seen.mode & 0o7777).toString(8) };
      }),
  );
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}
