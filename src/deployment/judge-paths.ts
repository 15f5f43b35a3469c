import type { MeaningProblem } from './judge-texts.ts';
import type { Deployment } from './schema.ts';
import type { SettingPath } from './setting-path.ts';
import { quoted } from './shape-sentences.ts';

/** Paths that the server answers itself. */
const reservedPaths = ['/livez', '/readyz', '/health', '/status', '/metrics', '/.well-known', '/register'];

const otherPages: readonly string[] = ['/livez', '/readyz', '/status', '/metrics', '/register'];

/** A path that is none, or one of the server's own. */
export function judgePath(path: SettingPath, text: string): MeaningProblem[] {
  const parts = text.split('/').slice(1);
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    return [{ path, message: 'must not have empty parts, "." or ".."', hint: 'for example: /mcp' }];
  }
  const reserved = reservedPaths.find((taken) => text === taken || text.startsWith(`${taken}/`));
  if (reserved === undefined) return [];
  return [{ path, message: `cannot be under ${reserved}: the server answers there itself`, hint: 'for example: /mcp' }];
}

/** Aliases, the two paths of the old transport and that of plain tool calls: each has one meaning. */
export function judgeFurtherPaths({ server }: Deployment): MeaningProblem[] {
  const { legacySse } = server;
  const named: { readonly path: SettingPath; readonly text: string }[] = server.aliases.map((text, index) => ({
    path: ['server', 'aliases', index],
    text,
  }));
  if (legacySse !== 'off') {
    named.push({ path: ['server', 'legacySse', 'sse'], text: legacySse.sse });
    // An alias may have this path too: what names a stream's session goes to the stream, the rest is answered at once.
    if (!server.aliases.includes(legacySse.messages)) {
      named.push({ path: ['server', 'legacySse', 'messages'], text: legacySse.messages });
    }
  }
  const { toolPath } = server;
  const below = [server.path, ...named.map(({ text }) => text)].find((text) => text.startsWith(`${toolPath}/`));
  if (below !== undefined) {
    const message = `has ${below} below it, where a tool of that name would be`;
    return [{ path: ['server', 'toolPath'], message, hint: 'take another path, for example: /tools' }];
  }
  if (toolPath !== 'off') named.push({ path: ['server', 'toolPath'], text: toolPath });
  return named.flatMap(({ path, text }, index): MeaningProblem[] => {
    const taken = text === server.path || named.slice(0, index).some((other) => other.text === text);
    if (!taken) return judgePath(path, text);
    return [{ path, message: `repeats the path ${quoted(text)}`, hint: 'give every path one meaning' }];
  });
}

/** A path for /health where something else answers. */
export function judgeHealthPath({ server }: Deployment): MeaningProblem[] {
  const { path } = server.health;
  const taken = [server.path, ...server.aliases, ...otherPages].includes(path);
  if (!taken) return [];
  return [
    {
      path: ['server', 'health', 'path'],
      message: `is taken: ${path} answers something else`,
      hint: 'choose another, like /healthz',
    },
  ];
}

/** The URL that clients are told: nothing secret in it, and the path of the endpoint. */
export function judgePublicUrl({ server }: Deployment): MeaningProblem[] {
  if (server.publicUrl === undefined) return [];
  const path = ['server', 'publicUrl'];
  const url = new URL(server.publicUrl);
  if (url.username !== '' || url.password !== '') {
    return [{ path, message: 'must not hold a user name or a password', hint: 'keys are sent in a header' }];
  }
  if (url.search !== '' || url.hash !== '') {
    return [
      { path, message: 'must not have a query or a fragment', hint: `for example: ${url.origin}${url.pathname}` },
    ];
  }
  if (url.pathname === server.path) return [];
  const message = `has the path ${url.pathname}, but server.path is ${server.path}`;
  return [{ path, message, hint: `write ${url.origin}${server.path}, or change server.path` }];
}
