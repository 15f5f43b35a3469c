import { textOfDirective, type NginxReader } from './nginx-reader.ts';
import type { NginxDirective } from './parse-nginx.ts';
import type { ConfigTarget, Suspect } from './suspect.ts';

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

/** Headers that are taken off, or changed, on the way. */
export function nginxHeaderSuspects(at: NginxReader, target: ConfigTarget): readonly Suspect[] {
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
function lostAddedHeaders(at: NginxReader): readonly Suspect[] {
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
      lines: [textOfDirective(first), ...lost.map(textOfDirective)],
    }),
  ];
}
