/** What a key may reach, as it is written in the key file, the deployment or the claims of a token. */
export interface Scope {
  /** Patterns of tool names as clients see them; every tool when absent. */
  readonly tools?: readonly string[] | undefined;
  /** Names of upstreams; every one when absent. */
  readonly upstreams?: readonly string[] | undefined;
}

/** What one caller may reach. A caller without one reaches everything. */
export interface Access {
  /** Whether tools of this name do not exist for the caller. */
  hidesTool(name: string): boolean;
  /** Whether the upstream does not exist for the caller; null stands for one that is not known. */
  hidesUpstream(name: string | null): boolean;
  /** Whether some upstreams may be hidden, so that it must be known where a thing comes from. */
  readonly limitsUpstreams: boolean;
  /** Whether some things may be hidden, so that lists are filtered. */
  readonly limits: boolean;
  /** The scopes that a token needs to call this tool, separated by spaces; null when the caller has them. */
  missingScopes(tool: string): string | null;
}

/** 1 to 128 printable characters without comma and space; `*` stands for any run of characters. */
export const toolPatternSyntax = /^[\x21-\x2b\x2d-\x7e]{1,128}$/;
/** Names of upstreams, as the deployment has them. */
export const upstreamNameSyntax = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
/** Name of a tier: what limits are chosen by. */
export const tierSyntax = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
/** Patterns or upstreams of one key. */
export const mostScopeEntries = 200;

/** Null for a scope that restricts nothing, so that such callers cost nothing. */
export function compileAccess(scope: Scope): Access | null {
  const { tools, upstreams } = scope;
  if (tools === undefined && upstreams === undefined) return null;
  const mayCall = tools === undefined ? null : compilePatterns(tools);
  const known = upstreams === undefined ? null : new Set(upstreams);
  return {
    hidesTool: (name) => mayCall !== null && !mayCall(name),
    hidesUpstream: (name) => known !== null && (name === null || !known.has(name)),
    limitsUpstreams: known !== null,
    limits: true,
    missingScopes: () => null,
  };
}

/** One test for all patterns. Linear in the length of the name: a pattern full of stars must not stop the server. */
export function compilePatterns(patterns: readonly string[]): (name: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map((pattern) => pattern.split('*'));
  return (name) => exact.has(name) || globs.some((parts) => matchesGlob(parts, name));
}

function matchesGlob(parts: readonly string[], name: string): boolean {
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  const end = name.length - last.length;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
