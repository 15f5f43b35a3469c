import { createHash } from 'node:crypto';
import { closeSync, fstatSync, lstatSync, openSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import type { NamedFile } from '../deployment/named-files.ts';

/** A file beside mcp-deploy.yaml that goes with it to another place. */
export interface SentFile {
  /** Relative to the folder of mcp-deploy.yaml, with slashes. */
  readonly path: string;
  /** Where it lies now, absolute. */
  readonly file: string;
  readonly content: Buffer;
  readonly sha256: string;
  readonly isExecutable: boolean;
  /** Whether a setting names it as a secret. */
  readonly isSecret: boolean;
  /** The setting because of which it goes. */
  readonly setting: string;
}

export interface Collected {
  readonly files: readonly SentFile[];
  /** Folders that something is started in, also where nothing is in them; as `path` above. */
  readonly folders: readonly string[];
  /** Named, but not in the folder: they must be where they are named. */
  readonly elsewhere: readonly NamedFile[];
  /** Beside code that is sent, and not sent, since they look like secrets that nothing names. */
  readonly leftOut: readonly string[];
}

/** More is a mistake: a folder of data, or of packages that belong to npm. */
const mostSent = { files: 2_000, bytes: 64 * 1_048_576 };

/**
 * Reads the files that a deployment names and that lie in its folder: for code also what it imports, and what lies beside it
 * in a folder below. Nothing is followed out of the folder.
 *
 * @throws UserError (exit 2) for a file that is named and not there, a link that leaves the folder, and for too much
 */
export function collectSentFiles(named: readonly NamedFile[], folder: string): Collected {
  const root = realpathSync(folder);
  const files = new Map<string, SentFile>();
  const folders = new Set<string>();
  const elsewhere: NamedFile[] = [];
  const leftOut = new Set<string>();
  let bytes = 0;

  function add(file: string, setting: string, isSecret: boolean): SentFile {
    const path = slashed(relative(root, file));
    const known = files.get(path);
    if (known !== undefined && (known.isSecret || !isSecret)) return known;
    const { content, mode } = readWithin(root, file, setting, mostSent.bytes);
    bytes += known === undefined ? content.length : 0;
    if (files.size >= mostSent.files || bytes > mostSent.bytes) throw tooMuch(setting, dirname(file));
    const sha256 = createHash('sha256').update(content).digest('hex');
    const made = { path, file, content, sha256, isExecutable: (mode & 0o100) !== 0, isSecret, setting };
    files.set(path, made);
    return made;
  }

  function addCode(file: string, setting: string): void {
    const waiting = [file];
    const seen = new Set<string>();
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      const { content } = add(next, setting, false);
      if (!isScript(next)) continue;
      const { near, packages } = importsOf(content.toString('utf8'));
      for (const name of near) {
        const target = fileOfImport(resolve(dirname(next), name));
        if (target !== null && isBelow(target, root)) waiting.push(target);
      }
      addPackages(dirname(next), setting, packages);
    }
    if (dirname(file) !== root && isBelow(dirname(file), root)) addTree(dirname(file), setting);
  }

  /** package.json says how modules are to be read; beside it lies what Node finds for a name without a path. */
  function addPackages(from: string, setting: string, packages: boolean): void {
    for (let at = from; at === root || isBelow(at, root); at = dirname(at)) {
      const [about, modules] = [join(at, 'package.json'), join(at, 'node_modules')];
      if (kindOf(about) === 'file') add(about, setting, false);
      if (packages && kindOf(modules) === 'folder') addTree(modules, setting);
    }
  }

  function addTree(top: string, setting: string): void {
    for (const entry of readdirSync(top, { withFileTypes: true })) {
      const file = join(top, entry.name);
      if (leftAlone.has(entry.name)) continue;
      if (entry.isDirectory()) addTree(file, setting);
      else if (looksSecret(entry.name)) leftOut.add(slashed(relative(root, file)));
      else if (entry.isFile() || entry.isSymbolicLink()) add(file, setting, false);
    }
  }

  // What is named as a secret first, so that it stays one where it lies beside code.
  for (const each of [...named].sort((a, b) => Number(b.role === 'secret') - Number(a.role === 'secret'))) {
    const file = resolve(root, each.from, each.path);
    if (file !== root && !isBelow(file, root)) {
      if (each.role !== 'word') elsewhere.push(each);
      continue;
    }
    const kind = kindOf(file);
    if (each.role === 'word') {
      if (kind !== 'file') continue;
      if (looksSecret(basename(file))) add(file, each.setting, true);
      else if (isProgram(file)) addCode(file, each.setting);
      else add(file, each.setting, false);
    } else if (each.role === 'folder') {
      if (kind !== 'folder') throw notThere(each, file);
      if (file !== root) folders.add(slashed(relative(root, file)));
    } else if (kind !== 'file') throw notThere(each, file);
    else if (each.role === 'code') addCode(file, each.setting);
    else add(file, each.setting, each.role === 'secret');
  }
  return {
    files: [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    folders: [...folders].sort(),
    elsewhere,
    leftOut: [...leftOut].filter((path) => !files.has(path)).sort(),
  };
}

/** Through no link that leaves the folder, and the file that was looked at is the one that is read. */
function readWithin(root: string, file: string, setting: string, most: number) {
  const real = realpathSync(file);
  if (!isBelow(real, root)) {
    throw new UserError(`${slashed(relative(root, file))} is a link that leaves the folder of mcp-deploy.yaml.`, {
      why: `It leads to ${real}, and goes with ${setting}. Nothing was sent.`,
      next: 'Put the file itself there, or name it by its absolute path and have it on the host.',
    });
  }
  const handle = openSync(real, 'r');
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile() || stat.size > most) throw tooMuch(setting, file);
    return { content: readFileSync(handle), mode: stat.mode };
  } finally {
    closeSync(handle);
  }
}

function kindOf(path: string): 'file' | 'folder' | null {
  try {
    const found = lstatSync(realpathSync(path));
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : null;
  } catch {
    return null;
  }
}

/** The extension may be left out in CommonJS, and a folder stands for its index. */
function fileOfImport(path: string): string | null {
  for (const each of [path, `${path}.js`, `${path}.cjs`, `${path}.mjs`, `${path}.json`, join(path, 'index.js')]) {
    if (kindOf(each) === 'file') return each;
  }
  return null;
}

function isScript(file: string): boolean {
  return /\.[cm]?[jt]s$/.test(file);
}

/** Of a word on a command line: a program reads what lies beside it, a file of settings does not. */
function isProgram(file: string): boolean {
  return /\.(?:[cm]?[jt]s|py|rb|sh|pl|php|lua)$/.test(file);
}

/** What a JavaScript file imports by a path, and whether it imports packages. Names that are computed are not seen. */
function importsOf(text: string): { readonly near: readonly string[]; readonly packages: boolean } {
  const names = [
    ...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*|\bnew\s+URL\s*\(\s*)(['"])([^'"\n]+)\1/g),
  ].map((match) => match[2] ?? '');
  return {
    near: names.filter((name) => /^\.\.?\//.test(name)),
    packages: names.some((name) => !/^(?:\.|\/|node:|[a-z]+:)/.test(name)),
  };
}

/** Histories, and links to programs. */
const leftAlone: ReadonlySet<string> = new Set(['.git', '.hg', '.svn', '.bin', '.mcp-deploy', '.mcp-deploy-backups']);

/** Beside code lies what its writer keeps there. Only a setting that names it makes it go. */
function looksSecret(name: string): boolean {
  return /^\.(?!npmignore$)|\.(?:key|pem|p12|pfx|jks|kdbx|age)$|^id_(?:rsa|dsa|ecdsa|ed25519)$/i.test(name);
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function slashed(path: string): string {
  return path.split(sep).join('/');
}

function notThere({ setting, path, role }: NamedFile, file: string): UserError {
  return new UserError(`${setting} names ${path}, and there is no such ${role === 'folder' ? 'folder' : 'file'}.`, {
    why: `It was looked for as ${file}. Nothing was changed.`,
    next: `Put it there, or correct ${setting} in mcp-deploy.yaml.`,
  });
}

function tooMuch(setting: string, place: string): UserError {
  return new UserError(`${basename(place)}, which goes with ${setting}, is too much to send.`, {
    why: `Beside mcp-deploy.yaml go at most ${mostSent.files} files of ${mostSent.bytes / 1_048_576} MB together. Nothing was sent.`,
    next: 'Put the program into a folder of its own, or install it on the host and name it by its absolute path.',
  });
}
