import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ProxyConfigSeen } from '../observations.ts';
import { isCaddyJson } from '../proxy-config/caddy-json-suspects.ts';
import { globToRegex } from '../proxy-config/parse-nginx.ts';
import type { MachineAccess } from '../types.ts';
import { findRunningProxies, haproxyFiles, includeFolder, type RunningProxy } from './find-running-proxies.ts';
import { createFetch } from './https-fetch.ts';

type Program = ProxyConfigSeen['program'];
type ConfigFile = ProxyConfigSeen['files'][number];

/** Files and bytes that are read at most; a larger configuration is cut, never waited for. */
const maxFiles = 500;
const maxFileBytes = 2_097_152;

/** Where distributions keep them. */
const usualFiles: readonly string[] = ['/etc/nginx/nginx.conf', '/etc/haproxy/haproxy.cfg', '/etc/caddy/Caddyfile'];

/** Runs a program that changes nothing, without a shell; exitCode null when it was too slow or is not there. */
type RunProgram = MachineAccess['run'];

const dumpTimeoutMs = 5_000;
const adminTimeoutMs = 2_000;

/**
 * The configuration of a proxy on this machine: a file with what it
 * includes, the output of `nginx -T`, or `auto`: that of the running nginx,
 * Caddy or HAProxy that listens on the port. A sentence when there is none.
 */
export async function readProxyConfig(from: string, port: number, run: RunProgram): Promise<ProxyConfigSeen | string> {
  if (from !== 'auto') return (await readConfig(from)) ?? `${from} could not be read`;
  for (const proxy of await findRunningProxies()) {
    for (const config of await readRunning(proxy, run)) if (listensOn(config, port)) return config;
  }
  for (const file of usualFiles) {
    const config = await readConfig(file);
    if (config !== null && listensOn(config, port)) return config;
  }
  return `no nginx, Caddy or HAProxy of this machine was found that listens on port ${port}`;
}

async function readRunning(proxy: RunningProxy, run: RunProgram): Promise<readonly ProxyConfigSeen[]> {
  switch (proxy.program) {
    case 'nginx': {
      const dumped = await run(proxy.dumpArgv, dumpTimeoutMs);
      const files = dumped.exitCode === 0 ? splitDump(dumped.output) : [];
      if (files.length > 0) return [{ program: 'nginx', files }];
      // Whoever may not read its keys or logs gets no dump; the files often say it all the same.
      const config = await readConfig(proxy.file ?? usualFiles[0] ?? '');
      return config === null ? [] : [config];
    }
    case 'haproxy': {
      const paths = await haproxyFiles(proxy.files);
      const texts = await Promise.all(paths.map(async (path) => ({ path, text: await readText(path) })));
      const files = texts.flatMap(({ path, text }) => (text === null ? [] : [{ path, text }]));
      return files.length === 0 ? [] : [{ program: 'haproxy', files }];
    }
    case 'caddy': {
      // The file first: it can be mended there. What was told through the API stands in none.
      const fromFile = proxy.file === null ? null : await readConfig(proxy.file, 'caddy');
      const fromApi = await askCaddy(proxy.admin ?? adminOf(fromFile?.files[0]?.text ?? '') ?? usualAdmin);
      return [fromFile, fromApi].filter((config) => config !== null);
    }
  }
}

const usualAdmin = 'localhost:2019';

/** Where a Caddyfile or Caddy's JSON puts its admin API; null when it does not say. */
function adminOf(text: string): string | null {
  if (!isCaddyJson(text)) return /^\s*admin\s+(\S*:\d+)/m.exec(text)?.[1] ?? null;
  const { admin } = JSON.parse(text) as { admin?: { listen?: unknown } };
  return typeof admin?.listen === 'string' ? admin.listen : null;
}

/** What Caddy runs with now, from its admin API. Its path is the URL below which every place can be changed. */
async function askCaddy(admin: string): Promise<ProxyConfigSeen | null> {
  const url = `http://${admin.replace(/^tcp\//, '')}/config/`;
  if (!URL.canParse(url)) return null;
  const http = createFetch({ caPem: null, timeoutMs: adminTimeoutMs, maxBodyBytes: maxFileBytes });
  try {
    const response = await http(url, { signal: AbortSignal.timeout(adminTimeoutMs) });
    const text = `${JSON.stringify(await response.json(), null, 2)}\n`;
    return response.status === 200 && isCaddyJson(text) ? { program: 'caddy', files: [{ path: url, text }] } : null;
  } catch {
    return null;
  } finally {
    http.close();
  }
}

async function readConfig(file: string, known: Program | null = null): Promise<ProxyConfigSeen | null> {
  const text = await readText(file);
  if (text === null) return null;
  const program = known ?? programOf(file, text);
  const dumped = program === 'nginx' ? splitDump(text) : [];
  if (dumped.length > 0) return { program, files: dumped };
  const files: ConfigFile[] = [{ path: resolve(file), text }];
  if (program === 'caddy' && isCaddyJson(text)) return { program, files };
  // More are appended while it goes; an include in a circle is met once.
  for (const each of files) {
    for (const pattern of includesOf(program, each.text)) {
      for (const path of await expand(resolve(includeFolder(program, file, each.path), pattern))) {
        if (files.length >= maxFiles || files.some((known) => known.path === path)) continue;
        const included = await readText(path);
        if (included !== null) files.push({ path, text: included });
      }
    }
  }
  return { program, files };
}

function programOf(file: string, text: string): Program {
  if (/caddy/i.test(file) || isCaddyJson(text)) return 'caddy';
  if (/^\s*(?:frontend|backend|defaults|listen)\b(?!.*[;{])/m.test(text)) return 'haproxy';
  return /^\s*[a-z_]+\b[^\n]*;/m.test(text) ? 'nginx' : 'caddy';
}

/** `nginx -T` prints every file behind a line that names it. */
function splitDump(text: string): readonly ConfigFile[] {
  const parts = text.split(/^# configuration file (.+):$/m);
  const files: ConfigFile[] = [];
  // The line break behind the name is not of the file.
  for (let at = 1; at + 1 < parts.length; at += 2) {
    files.push({ path: parts[at] ?? '', text: (parts[at + 1] ?? '').replace(/^\r?\n/, '') });
  }
  return files;
}

function includesOf(program: Program, text: string): readonly string[] {
  if (program === 'haproxy') return [];
  const pattern = program === 'nginx' ? /^\s*include\s+["']?([^;"']+?)["']?\s*;/gm : /^\s*import\s+(\S+)/gm;
  return [...text.matchAll(pattern)].map(([, name]) => name ?? '').filter((name) => !name.startsWith('$'));
}

async function expand(path: string): Promise<readonly string[]> {
  if (!/[*?]/.test(path)) return [path];
  try {
    const folder = dirname(path);
    const wanted = globToRegex(path);
    return (await readdir(folder))
      .map((name) => join(folder, name))
      .filter((name) => wanted.test(name))
      .toSorted();
  } catch {
    return [];
  }
}

function listensOn({ program, files }: ProxyConfigSeen, port: number): boolean {
  const text = files.map((file) => file.text).join('\n');
  if (program === 'nginx') return new RegExp(`\\blisten\\s+(?:\\S*:)?${port}\\b`).test(text);
  return new RegExp(`:${port}\\b`).test(text) || (program === 'caddy' && port === 443 && !isCaddyJson(text));
}

async function readText(path: string): Promise<string | null> {
  try {
    const text = await readFile(path, 'utf8');
    return text.slice(0, maxFileBytes);
  } catch {
    return null;
  }
}
