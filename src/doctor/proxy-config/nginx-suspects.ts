import type { ProxyConfigSeen } from '../observations.ts';
import { effective, effectiveList, findScope, prefixOf, type NginxScope } from './nginx-scope.ts';
import { parseNginx, type NginxDirective } from './parse-nginx.ts';
import {
  diffOf,
  durationMs,
  isUpstream,
  neededBodyBytes,
  neededHeaderBytes,
  shortTimeoutMs,
  sizeBytes,
  type ConfigTarget,
  type LineChange,
  type Suspect,
} from './suspect.ts';

const commands = ['nginx -t', 'nginx -s reload'];

/** Lines of nginx that can explain a finding at this endpoint. */
export function nginxSuspects(config: ProxyConfigSeen, target: ConfigTarget): readonly Suspect[] {
  const root = parseNginx(config.files);
  const scope = findScope(root, target);
  if (scope === null) return [];
  const at = new Reader(config.files, scope);
  return [
    ...streaming(at),
    ...sizes(at),
    ...headers(at, target),
    ...routes(at, target),
    ...errors(at),
    ...limits(at),
    ...connections(at),
    ...upstreams(at, root),
  ];
}

/** Finds directives of one scope and says what to change in them. */
class Reader {
  readonly scope: NginxScope;
  readonly #files: ProxyConfigSeen['files'];

  constructor(files: ProxyConfigSeen['files'], scope: NginxScope) {
    this.#files = files;
    this.scope = scope;
  }

  get(name: string): NginxDirective | null {
    return effective(this.scope, name);
  }

  list(name: string): readonly NginxDirective[] {
    return effectiveList(this.scope, name);
  }

  /** The directive as it is, or the block that lacks it. */
  suspect(
    found: NginxDirective | null,
    words: Pick<Suspect, 'code' | 'expected' | 'cause' | 'summary'> & {
      readonly observed?: string;
      /** Lines in place of the directive; put into the location when there is none. */
      readonly lines: readonly string[];
    },
  ): Suspect {
    const { lines, observed, ...rest } = words;
    const place = found ?? this.scope.location ?? (this.scope.levels.at(-1) as NginxDirective);
    const change: LineChange = found === null ? { insert: lines } : { replace: lines };
    return {
      ...rest,
      file: place.file,
      line: place.line,
      observed: observed ?? (found === null ? 'not set' : textOf(found)),
      diff: diffOf(this.#files, place, change),
      commands,
    };
  }
}

function streaming(at: Reader): readonly Suspect[] {
  const found: Suspect[] = [];
  const buffering = at.get('proxy_buffering');
  const ignored = at.get('proxy_ignore_headers');
  if (buffering?.args[0] !== 'off') {
    const [ignores] = ignored?.args.includes('X-Accel-Buffering') === true ? [ignored] : [];
    found.push(
      at.suspect(buffering, {
        code: 'stream/first-event',
        expected: 'proxy_buffering off;',
        cause: `proxy_buffering is ${buffering === null ? 'on unless it is switched off' : 'on'}${
          ignores === undefined ? '' : ', and X-Accel-Buffering of the server is ignored'
        }`,
        summary: 'Switch buffering off for the MCP path, check the configuration and load it.',
        lines: ['proxy_buffering off;'],
      }),
    );
  }
  const gzip = at.get('gzip');
  if (gzip?.args[0] === 'on') {
    found.push(
      at.suspect(gzip, {
        code: 'stream/compressed',
        expected: 'gzip off;',
        cause: 'gzip holds events back until there is enough to compress',
        summary: 'Switch gzip off for the MCP path.',
        lines: ['gzip off;'],
      }),
    );
  }
  const timeout = at.get('proxy_read_timeout');
  const ms = durationMs(timeout?.args[0] ?? '60s', 's');
  if (ms !== null && ms < shortTimeoutMs) {
    for (const code of ['proxy/read-timeout', 'stream/idle', 'http/answers', 'tools/call']) {
      found.push(
        at.suspect(timeout, {
          code,
          expected: 'proxy_read_timeout 1h;',
          cause: `proxy_read_timeout is ${timeout?.args[0] ?? '60s unless it is set'}: nginx gives up on what is silent for so long`,
          summary: 'Raise it for the MCP path.',
          lines: ['proxy_read_timeout 1h;'],
        }),
      );
    }
  }
  return found;
}

function sizes(at: Reader): readonly Suspect[] {
  const body = at.get('client_max_body_size');
  const bytes = sizeBytes(body?.args[0] ?? '1m', false);
  const header = at.get('large_client_header_buffers');
  const line = sizeBytes(header?.args[1] ?? '8k', false);
  return [
    ...(bytes !== null && bytes !== 0 && bytes < neededBodyBytes
      ? [
          at.suspect(body, {
            code: 'sizes/body',
            expected: 'client_max_body_size 10m;',
            cause: `client_max_body_size is ${body?.args[0] ?? '1m unless it is set'}`,
            summary: 'Raise it for the MCP path.',
            lines: ['client_max_body_size 10m;'],
          }),
        ]
      : []),
    ...(line !== null && line < neededHeaderBytes
      ? [
          at.suspect(header, {
            code: 'sizes/header',
            expected: 'large_client_header_buffers 4 16k;',
            cause: `one header line may have ${header?.args[1] ?? '8k'} (large_client_header_buffers)`,
            summary: 'Raise it in the server block.',
            lines: ['large_client_header_buffers 4 16k;'],
          }),
        ]
      : []),
  ];
}

/** Codes of findings that come from a request header that is taken off. */
const codeOfHeader: Readonly<Record<string, string>> = {
  authorization: 'key/bearer',
  'x-api-key': 'key/x-api-key',
  'mcp-session-id': 'protocol/headers-kept',
  'mcp-protocol-version': 'protocol/headers-kept',
  'mcp-method': 'protocol/headers-kept',
  'mcp-name': 'protocol/headers-kept',
  origin: 'http/origin-refused',
};

function headers(at: Reader, target: ConfigTarget): readonly Suspect[] {
  const found: Suspect[] = [];
  for (const directive of at.list('proxy_set_header')) {
    const [name = '', value = ''] = directive.args;
    const lower = name.toLowerCase();
    if (lower === 'host' && !/^\$(?:http_)?host$/.test(value)) {
      found.push(
        at.suspect(directive, {
          code: 'http/host-allowed',
          expected: 'proxy_set_header Host $host;',
          cause: `Host is replaced by ${value}, and the server does not know that name`,
          summary: `Pass ${target.host} on.`,
          lines: ['proxy_set_header Host $host;'],
        }),
      );
    }
    const lost = codeOfHeader[lower];
    if (lost !== undefined && value === '') {
      found.push(
        at.suspect(directive, {
          code: lost,
          expected: `no proxy_set_header ${name}`,
          cause: `nginx takes ${name} off`,
          summary: 'Take the line out.',
          lines: [],
        }),
      );
    }
    if ((lower === 'authorization' || lower === 'x-api-key') && value !== '' && !value.startsWith('$http_')) {
      found.push(
        at.suspect(directive, {
          code: 'key/none-refused',
          observed: `proxy_set_header ${name} [secret];`,
          expected: `no proxy_set_header ${name}`,
          cause: 'nginx gives every request a key',
          summary: 'Take the line out, and replace that key.',
          lines: [],
        }),
      );
    }
  }
  const passes = at.get('proxy_pass_request_headers');
  if (passes?.args[0] === 'off') {
    for (const code of ['key/bearer', 'protocol/headers-kept']) {
      found.push(
        at.suspect(passes, {
          code,
          expected: 'proxy_pass_request_headers on;',
          cause: 'nginx passes no header of the client on',
          summary: 'Take the line out.',
          lines: [],
        }),
      );
    }
  }
  for (const directive of at.list('proxy_hide_header')) {
    const name = directive.args[0] ?? '';
    const code = { 'mcp-session-id': 'protocol/headers-kept', 'www-authenticate': 'key/challenge' }[name.toLowerCase()];
    if (code === undefined) continue;
    found.push(
      at.suspect(directive, {
        code,
        expected: `no proxy_hide_header ${name}`,
        cause: `nginx keeps ${name} of the server to itself`,
        summary: 'Take the line out.',
        lines: [],
      }),
    );
  }
  for (const directive of at.list('add_header')) {
    if (directive.args[0]?.toLowerCase() !== 'access-control-allow-origin') continue;
    found.push(
      at.suspect(directive, {
        code: 'cors/single-origin',
        expected: 'no add_header Access-Control-Allow-Origin',
        cause: 'nginx adds the header beside that of the server',
        summary: 'Leave CORS to the server.',
        lines: [],
      }),
    );
  }
  return [...found, ...lostAddedHeaders(at)];
}

/** One add_header on an inner level drops all of the outer ones (ngx_http_headers_module). */
function lostAddedHeaders(at: Reader): readonly Suspect[] {
  const inner = at.scope.location;
  const own = (inner?.block ?? []).filter(({ name }) => name === 'add_header');
  if (own.length === 0) return [];
  const names = new Set(own.map(({ args }) => args[0]?.toLowerCase()));
  const outer = at.scope.levels
    .slice(0, -1)
    .flatMap(({ block }) => (block ?? []).filter(({ name }) => name === 'add_header'));
  const lost = outer.filter(({ args }) => !names.has(args[0]?.toLowerCase()));
  if (lost.length === 0) return [];
  const first = own[0] as NginxDirective;
  return [
    at.suspect(first, {
      code: 'proxy/lost-headers',
      expected: `also add_header ${lost.map(({ args }) => args[0] ?? '').join(', ')}`,
      cause: 'an add_header in a location drops every add_header of the server and http blocks',
      summary: 'Say those of the outer blocks again in the location.',
      lines: [textOf(first), ...lost.map(textOf)],
    }),
  ];
}

function routes(at: Reader, target: ConfigTarget): readonly Suspect[] {
  const found: Suspect[] = [];
  const { location, levels } = at.scope;
  const server = levels[1] as NginxDirective;
  const slashed = (server.block ?? []).find(
    ({ name, args, block }) =>
      name === 'location' && prefixOf(args) === `${target.path}/` && has(block ?? [], 'proxy_pass') !== null,
  );
  if (slashed !== undefined && location?.args[1] !== target.path && location?.args[0] !== target.path) {
    found.push(
      at.suspect(slashed, {
        code: 'http/no-redirect',
        observed: `location ${target.path}/`,
        expected: `location ${target.path}`,
        cause: `a location that ends in a slash answers ${target.path} with a redirect, which loses the POST`,
        summary: 'Leave the slash out.',
        lines: [`location ${target.path} {`],
      }),
    );
  }
  const returned = has(location?.block ?? [], 'return') ?? has(server.block ?? [], 'return');
  if (returned !== null && /^30[1278]$/.test(returned.args[0] ?? '')) {
    found.push(
      at.suspect(returned, {
        code: 'http/no-redirect',
        expected: `no redirect of ${target.path}`,
        cause: 'nginx answers the path with a redirect',
        summary: `Pass ${target.path} on to the server.`,
        lines: [],
      }),
    );
  } else if (returned !== null) {
    for (const code of ['http/json-not-html', 'http/endpoint-found']) {
      found.push(
        at.suspect(returned, {
          code,
          expected: 'proxy_pass to the server',
          cause: 'nginx answers the path itself',
          summary: `Pass ${target.path} on to the server.`,
          lines: [],
        }),
      );
    }
  }
  return [...found, ...passedOn(at, target), ...wellKnowns(at, server)];
}

function passedOn(at: Reader, target: ConfigTarget): readonly Suspect[] {
  const { location } = at.scope;
  const pass = has(location?.block ?? [], 'proxy_pass');
  if (location === null || pass === null) return [];
  const [whole = ''] = pass.args;
  const [, scheme = '', address = ''] = /^(https?:\/\/)([^/]+)/.exec(whole) ?? [];
  const found =
    target.upstream !== null && isUpstream(address, target) === false
      ? [
          at.suspect(pass, {
            code: 'http/no-server-error',
            expected: `proxy_pass ${scheme}${target.upstream}`,
            cause: `nginx passes the path to ${address}; the server listens on ${target.upstream}`,
            summary: 'Name the address of the server.',
            lines: [`proxy_pass ${whole.replace(address, target.upstream)};`],
          }),
        ]
      : [];
  const uri = /^https?:\/\/[^/]+(\/.*)$/.exec(whole)?.[1];
  const prefix = prefixOf(location.args) ?? (location.args[0] === '=' ? location.args[1] : undefined);
  if (uri === undefined || prefix === undefined) return found;
  const mapped = uri + target.path.slice(prefix.length);
  if (mapped === target.upstreamPath) return found;
  return [
    ...found,
    at.suspect(pass, {
      code: 'http/endpoint-found',
      expected: `proxy_pass ${whole.slice(0, whole.length - uri.length)};`,
      cause: `with a path at its end proxy_pass replaces ${prefix} by it: the server is asked for ${mapped}`,
      summary: 'Leave the path out of proxy_pass.',
      lines: [`proxy_pass ${whole.slice(0, whole.length - uri.length)};`],
    }),
  ];
}

function wellKnowns(at: Reader, server: NginxDirective): readonly Suspect[] {
  const found = (server.block ?? []).find(
    ({ name, args, block }) =>
      name === 'location' && args.some((arg) => arg.includes('.well-known')) && has(block ?? [], 'proxy_pass') === null,
  );
  if (found === undefined || found.args.some((arg) => arg.includes('acme-challenge'))) return [];
  return [
    at.suspect(found, {
      code: 'http/well-knowns-json',
      observed: `location ${found.args.join(' ')}`,
      expected: 'JSON, or 404',
      cause: 'nginx answers the well-known paths itself, with a page',
      summary: 'Pass them on to the server, or limit the location to acme-challenge.',
      lines: ['location ^~ /.well-known/acme-challenge/ {'],
    }),
  ];
}

function errors(at: Reader): readonly Suspect[] {
  const intercept = at.get('proxy_intercept_errors');
  if (intercept?.args[0] !== 'on') return [];
  return ['http/errors-json', 'protocol/unknown-session', 'key/challenge'].map((code) =>
    at.suspect(intercept, {
      code,
      expected: 'proxy_intercept_errors off;',
      cause: 'nginx replaces the errors of the server by its own pages',
      summary: 'Switch it off for the MCP path.',
      lines: ['proxy_intercept_errors off;'],
    }),
  );
}

function limits(at: Reader): readonly Suspect[] {
  const limit = at.get('limit_req') ?? at.get('limit_conn');
  const name = `${limit?.name ?? 'limit_req'}_status`;
  if (limit === null || at.get(name)?.args[0] === '429') return [];
  return ['limits/answers-429', 'proxy/limit-status'].map((code) =>
    at.suspect(limit, {
      code,
      expected: `${name} 429;`,
      cause: `${limit.name} answers 503 unless ${name} says otherwise, and clients take a 503 for an outage`,
      summary: 'Let it answer 429.',
      lines: [textOf(limit), `${name} 429;`],
    }),
  );
}

function connections(at: Reader): readonly Suspect[] {
  const version = at.get('proxy_http_version');
  const keep = at.get('keepalive_timeout');
  const protocols = at.get('ssl_protocols');
  const passes = has(at.scope.location?.block ?? [], 'proxy_pass') !== null;
  return [
    ...(passes && version?.args[0] !== '1.1' && version?.args[0] !== '2'
      ? [
          at.suspect(version, {
            code: 'proxy/http-version',
            expected: 'proxy_http_version 1.1;',
            cause: 'nginx before 1.29.7 asks servers in HTTP/1.0 unless it is told otherwise',
            summary: 'Say 1.1, and send no Connection header on, so that connections are kept.',
            lines: ['proxy_http_version 1.1;', 'proxy_set_header Connection "";'],
          }),
        ]
      : []),
    ...(keep?.args[0] === '0'
      ? [
          at.suspect(keep, {
            code: 'http/keep-alive',
            expected: 'keepalive_timeout 65s;',
            cause: 'keepalive_timeout 0 closes every connection',
            summary: 'Keep connections.',
            lines: ['keepalive_timeout 65s;'],
          }),
        ]
      : []),
    ...(protocols !== null && protocols.args.some((arg) => arg === 'TLSv1' || arg === 'TLSv1.1')
      ? [
          at.suspect(protocols, {
            code: 'tls/versions',
            expected: 'ssl_protocols TLSv1.2 TLSv1.3;',
            cause: 'ssl_protocols lets old versions in',
            summary: 'Allow 1.2 and 1.3 only.',
            lines: ['ssl_protocols TLSv1.2 TLSv1.3;'],
          }),
        ]
      : []),
  ];
}

function upstreams(at: Reader, root: readonly NginxDirective[]): readonly Suspect[] {
  const pass = has(at.scope.location?.block ?? [], 'proxy_pass');
  const name = /^https?:\/\/([^/:]+)/.exec(pass?.args[0] ?? '')?.[1];
  const upstream = [...root, ...root.flatMap(({ block }) => block ?? [])].find(
    (directive) => directive.name === 'upstream' && directive.args[0] === name,
  );
  const block = upstream?.block ?? [];
  if (upstream === undefined || block.filter((directive) => directive.name === 'server').length < 2) return [];
  if (has(block, 'ip_hash') !== null || has(block, 'hash') !== null) return [];
  return [
    at.suspect(upstream, {
      code: 'session/kept',
      observed: `upstream ${name ?? ''} with ${block.filter((directive) => directive.name === 'server').length} servers`,
      expected: 'servers that share their sessions, or one',
      cause: 'nginx spreads requests over servers that do not know each other’s sessions',
      summary: 'Let the servers share sessions; ip_hash keeps a client with one server meanwhile.',
      lines: [`upstream ${name ?? ''} {`, '    ip_hash;'],
    }),
  ];
}

function has(block: readonly NginxDirective[], name: string): NginxDirective | null {
  return block.find((directive) => directive.name === name) ?? null;
}

function textOf({ name, args }: NginxDirective): string {
  const words = args.map((arg) => (arg === '' || /[\s;{}]/.test(arg) ? `"${arg}"` : arg));
  return `${[name, ...words].join(' ')};`;
}
