import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ProxyConfigSeen } from '../observations.ts';
import { globToRegex } from '../proxy-config/parse-nginx.ts';

type Program = ProxyConfigSeen['program'];
type ConfigFile = ProxyConfigSeen['files'][number];

/** Files and bytes that are read at most; a larger configuration is cut, never waited for. */
const maxFiles = 500;
const maxFileBytes = 2_097_152;

/** Where distributions keep them. */
const usualFiles: readonly string[] = ['/etc/nginx/nginx.conf', '/etc/haproxy/haproxy.cfg', '/etc/caddy/Caddyfile'];

/**
 * The configuration of a proxy on this machine: a file with what it
 * includes, the output of `nginx -T`, or `auto`: that of the running nginx,
 * Caddy or HAProxy that listens on the port. A sentence when there is none.
 */
export async function readProxyConfig(from: string, port: number): Promise<ProxyConfigSeen | string> {
  if (from !== 'auto') return (await readConfig(from)) ?? `${from} could not be read`;
  for (const file of [...(await filesOfRunning()), ...usualFiles]) {
    const config = await readConfig(file);
    if (config !== null && listensOn(config, port)) return config;
  }
  return `no nginx, Caddy or HAProxy of this machine was found that listens on port ${port}`;
}

async function readConfig(file: string): Promise<ProxyConfigSeen | null> {
  const text = await readText(file);
  if (text === null) return null;
  const program = programOf(file, text);
  const dumped = program === 'nginx' ? splitDump(text) : [];
  if (dumped.length > 0) return { program, files: dumped };
  const files: ConfigFile[] = [{ path: resolve(file), text }];
  // More are appended while it goes; an include in a circle is met once.
  for (const each of files) {
    for (const pattern of includesOf(program, each.text)) {
      const base = program === 'nginx' ? dirname(resolve(file)) : dirname(each.path);
      for (const path of await expand(resolve(base, pattern))) {
        if (files.length >= maxFiles || files.some((known) => known.path === path)) continue;
        const included = await readText(path);
        if (included !== null) files.push({ path, text: included });
      }
    }
  }
  return { program, files };
}

function programOf(file: string, text: string): Program {
  if (/caddy/i.test(file)) return 'caddy';
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

/** From the command lines of running proxies (Linux); elsewhere the usual files have to do. */
async function filesOfRunning(): Promise<readonly string[]> {
  const found: string[] = [];
  const pids = await readdir('/proc').catch(() => []);
  for (const pid of pids.filter((name) => /^\d+$/.test(name))) {
    const words = ((await readText(`/proc/${pid}/cmdline`)) ?? '').split(/[\0 ]+/);
    const line = words.join(' ');
    const after = (flag: string): string | null => words[words.indexOf(flag) + 1] ?? null;
    if (line.startsWith('nginx: master process')) {
      const prefix = words.includes('-p') ? (after('-p') ?? '') : '/etc/nginx';
      if (words.includes('-c')) found.push(resolve(prefix, after('-c') ?? ''));
    } else if (/(?:^|\/)caddy run\b/.test(line) && words.includes('--config')) found.push(after('--config') ?? '');
    else if (/(?:^|\/)haproxy /.test(line) && words.includes('-f')) found.push(after('-f') ?? '');
  }
  return [...new Set(found)];
}

function listensOn({ program, files }: ProxyConfigSeen, port: number): boolean {
  const text = files.map((file) => file.text).join('\n');
  if (program === 'nginx') return new RegExp(`\\blisten\\s+(?:\\S*:)?${port}\\b`).test(text);
  return new RegExp(`:${port}\\b`).test(text) || (program === 'caddy' && port === 443);
}

async function readText(path: string): Promise<string | null> {
  try {
    const text = await readFile(path, 'utf8');
    return text.slice(0, maxFileBytes);
  } catch {
    return null;
  }
}
