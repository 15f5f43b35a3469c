import type { NginxDirective } from './parse-nginx.ts';
import type { ConfigTarget } from './suspect.ts';

/** The blocks that a request to the endpoint passes, outermost first: http, server, and the location. */
export interface NginxScope {
  readonly levels: readonly NginxDirective[];
  readonly location: NginxDirective | null;
}

/** Finds the server and the location as nginx would; null when no server block listens on that port. */
export function findScope(root: readonly NginxDirective[], target: ConfigTarget): NginxScope | null {
  // A site file alone has no http block around it.
  const site: NginxDirective = { name: 'http', args: [], block: root, file: '', line: 0, from: 0, to: 0 };
  const alone = root.some(({ name }) => name === 'server') ? [site] : [];
  for (const http of [...root.filter(({ name }) => name === 'http'), ...alone]) {
    const servers = (http.block ?? []).filter(({ name, block }) => name === 'server' && listensOn(block, target.port));
    const server = servers.find(({ block }) => isNamed(block, target.host)) ?? servers[0];
    if (server === undefined) continue;
    const location = findLocation(server, target.path);
    return { levels: [http, server, ...(location === null ? [] : [location])], location };
  }
  return null;
}

function listensOn(block: NginxDirective['block'], port: number): boolean {
  const listens = (block ?? []).filter(({ name }) => name === 'listen');
  if (listens.length === 0) return port === 80;
  return listens.some(({ args }) => {
    const [address = ''] = args;
    return /^\d+$/.test(address) ? Number(address) === port : Number(/:(\d+)$/.exec(address)?.[1] ?? 80) === port;
  });
}

function isNamed(block: NginxDirective['block'], host: string): boolean {
  return (block ?? []).some(({ name, args }) => name === 'server_name' && args.includes(host));
}

/** Exact match, else the longest prefix, unless a regular expression comes before it (ngx_http_core_module, location). */
function findLocation(server: NginxDirective, path: string): NginxDirective | null {
  const locations = (server.block ?? []).filter(({ name }) => name === 'location');
  const exact = locations.find(({ args }) => args[0] === '=' && args[1] === path);
  if (exact !== undefined) return exact;
  const prefixes = locations
    .filter(({ args }) => prefixOf(args) !== null && path.startsWith(prefixOf(args) ?? '\0'))
    .toSorted((a, b) => (prefixOf(b.args) ?? '').length - (prefixOf(a.args) ?? '').length);
  const [longest] = prefixes;
  if (longest?.args[0] === '^~') return longest;
  const regex = locations.find(({ args }) => /^~\*?$/.test(args[0] ?? '') && matches(args, path));
  return regex ?? longest ?? null;
}

/** Prefix of a location, null for exact ones and regular expressions. */
export function prefixOf(args: readonly string[]): string | null {
  if (args[0] === '^~') return args[1] ?? null;
  return args.length === 1 && !args[0]?.startsWith('@') ? (args[0] ?? null) : null;
}

function matches([kind, pattern]: readonly string[], path: string): boolean {
  try {
    return new RegExp(pattern ?? '', kind === '~*' ? 'i' : '').test(path);
  } catch {
    return false;
  }
}

/** A directive that the innermost level has, as nginx inherits most of them. */
export function effective({ levels }: NginxScope, name: string): NginxDirective | null {
  for (const level of levels.toReversed()) {
    const found = (level.block ?? []).findLast((directive) => directive.name === name);
    if (found !== undefined) return found;
  }
  return null;
}

/** Directives that add up on one level and hide those of outer levels: proxy_set_header, add_header. */
export function effectiveList({ levels }: NginxScope, name: string): readonly NginxDirective[] {
  for (const level of levels.toReversed()) {
    const found = (level.block ?? []).filter((directive) => directive.name === name);
    if (found.length > 0) return found;
  }
  return [];
}
