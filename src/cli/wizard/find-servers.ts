import { tomlValueOf } from '../../clients/toml-settings.ts';
import type { ServerCandidate, WizardFacts } from './facts.ts';

/** More than a person wants to choose from. */
const mostCandidates = 12;

/**
 * The MCP servers that this folder or the clients of this machine know, the surest first: package.json, pyproject.toml,
 * requirements.txt, then what clients start. Pure; files that cannot be read say nothing.
 */
export function findServers(facts: WizardFacts): readonly ServerCandidate[] {
  const found = [
    ...serversOfPackage(facts),
    ...serversOfPyproject(facts),
    ...serversOfRequirements(facts),
    ...facts.clientServers.map(({ client, name, command, env }): ServerCandidate => ({
      command,
      env,
      from: `${client}, "${name}"`,
      remark: null,
    })),
  ];
  const distinct = new Map<string, ServerCandidate>();
  for (const candidate of found) {
    const key = JSON.stringify(candidate.command);
    if (!distinct.has(key)) distinct.set(key, candidate);
  }
  return [...distinct.values()].slice(0, mostCandidates);
}

/** What MCP servers in JavaScript are made of. */
const nodeLibraries = /^(?:@modelcontextprotocol\/(?:sdk|server|node|core)|fastmcp|mcp-framework|@mastra\/mcp|xmcp)$/;

function serversOfPackage({ packageJson, files }: WizardFacts): readonly ServerCandidate[] {
  const manifest = jsonMap(packageJson);
  const scripts = textsOf(manifest['scripts']);
  const name = typeof manifest['name'] === 'string' ? manifest['name'] : '';
  const libraries = Object.keys({ ...mapOf(manifest['dependencies']), ...mapOf(manifest['devDependencies']) });
  const keywords = Array.isArray(manifest['keywords']) ? manifest['keywords'] : [];
  const isServer = libraries.some((library) => nodeLibraries.test(library)) || keywords.includes('mcp');
  if (!isServer) return [];

  const run = (path: string, from: string): ServerCandidate => {
    const file = path.replace(/^\.\//, '');
    const isThere = files.includes(file);
    const build = scripts['build'] === undefined ? '' : ': npm run build';
    return {
      command: ['node', `./${file}`],
      env: [],
      from,
      remark: isThere ? null : `./${file} is not there yet${build}`,
    };
  };
  const { bin, main } = manifest;
  const bins = typeof bin === 'string' ? { [name]: bin } : textsOf(bin);
  const named = Object.values(bins)
    .filter(isInside)
    .map((path) => run(path, 'package.json (bin)'));
  if (named.length > 0) return named;
  const script = ['mcp', 'start:stdio', 'stdio', 'start'].find((each) => scripts[each] !== undefined);
  // --silent: what npm says about itself would stand among the messages of the protocol.
  if (script !== undefined) {
    const command = ['npm', 'run', '--silent', script];
    return [{ command, env: [], from: `package.json (scripts.${script})`, remark: null }];
  }
  return typeof main === 'string' && isInside(main) ? [run(main, 'package.json (main)')] : [];
}

/** What MCP servers in Python are made of, as PEP 508 names it. */
const pythonLibraries = /^(?:mcp|fastmcp)(?:$|[^A-Za-z0-9._-])/i;

function serversOfPyproject({ pyproject, programs, files }: WizardFacts): readonly ServerCandidate[] {
  if (pyproject === null) return [];
  let top: Readonly<Record<string, unknown>>;
  try {
    top = tomlValueOf(pyproject);
  } catch {
    return [];
  }
  const project = mapOf(top['project']);
  const poetry = mapOf(mapOf(top['tool'])['poetry']);
  const listed = Array.isArray(project['dependencies']) ? project['dependencies'] : [];
  const libraries = [...listed, ...Object.keys(mapOf(poetry['dependencies']))];
  if (!libraries.some((library) => typeof library === 'string' && pythonLibraries.test(library))) return [];

  const scripts = { ...textsOf(poetry['scripts']), ...textsOf(project['scripts']) };
  return Object.entries(scripts)
    .filter(([script]) => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(script))
    .map(([script, entry]): ServerCandidate => {
      const from = `pyproject.toml (scripts.${script})`;
      if (files.includes(`.venv/bin/${script}`)) {
        return { command: [`./.venv/bin/${script}`], env: [], from, remark: null };
      }
      if (programs.uv !== null) return { command: ['uv', 'run', script], env: [], from, remark: null };
      const module = entry.split(':')[0] ?? script;
      const remark = `it has to be installed for python3 (${module}): pip install .`;
      return { command: ['python3', '-m', module], env: [], from, remark };
    });
}

function serversOfRequirements({ requirements, files, programs, pyproject }: WizardFacts): readonly ServerCandidate[] {
  const isServer = (requirements ?? '').split('\n').some((line) => pythonLibraries.test(line.trim()));
  const script = ['server.py', 'main.py', 'app.py'].find((file) => files.includes(file));
  if (!isServer || pyproject !== null || script === undefined) return [];
  const python = ['.venv/bin/python', 'venv/bin/python'].find((file) => files.includes(file));
  const command = python === undefined ? ['python3', script] : [`./${python}`, script];
  const remark = python === undefined && programs.python3 === null ? 'there is no python3 here' : null;
  return [{ command, env: [], from: `requirements.txt and ${script}`, remark }];
}

/** The files that package.json and pyproject.toml may lead to: whether they are there is a fact to look for. Pure. */
export function filesToLookFor(packageJson: string | null, pyproject: string | null): readonly string[] {
  const { bin, main } = jsonMap(packageJson);
  const paths = [...(typeof bin === 'string' ? [bin] : Object.values(textsOf(bin))), main];
  const named = paths.filter((path): path is string => typeof path === 'string' && isInside(path));
  let scripts: readonly string[] = [];
  try {
    const top = tomlValueOf(pyproject ?? '');
    const poetry = mapOf(mapOf(top['tool'])['poetry']);
    scripts = Object.keys({ ...mapOf(mapOf(top['project'])['scripts']), ...mapOf(poetry['scripts']) });
  } catch {
    // Then it names none.
  }
  return [
    ...named.map((path) => path.replace(/^\.\//, '')),
    ...scripts.filter(isInside).map((script) => `.venv/bin/${script}`),
    ...usualFiles,
  ].slice(0, 50);
}

const usualFiles = ['server.py', 'main.py', 'app.py', '.venv/bin/python', 'venv/bin/python'];

/** Only what lies in the folder: a manifest is somebody's text. */
function isInside(path: string): boolean {
  return /^(?:\.\/)?[A-Za-z0-9_@][A-Za-z0-9_@./-]*$/.test(path) && !path.split('/').includes('..');
}

function jsonMap(text: string | null): Readonly<Record<string, unknown>> {
  try {
    return mapOf(JSON.parse(text ?? '{}'));
  } catch {
    return {};
  }
}

function mapOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(mapOf(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
