import type { ProxyConfigSeen } from '../observations.ts';
import { nginxHeaderSuspects } from './nginx-header-suspects.ts';
import { hasDirective, NginxReader, textOfDirective } from './nginx-reader.ts';
import { nginxRouteSuspects } from './nginx-route-suspects.ts';
import { findScope } from './nginx-scope.ts';
import { parseNginx, type NginxDirective } from './parse-nginx.ts';
import {
  durationMs,
  neededBodyBytes,
  neededHeaderBytes,
  shortTimeoutMs,
  sizeBytes,
  type ConfigTarget,
  type Suspect,
} from './suspect.ts';

/** Lines of nginx that can explain a finding at this endpoint. */
export function nginxSuspects(config: ProxyConfigSeen, target: ConfigTarget): readonly Suspect[] {
  const root = parseNginx(config.files);
  const scope = findScope(root, target);
  if (scope === null) return [];
  const at = new NginxReader(config.files, scope);
  return [
    ...streaming(at),
    ...sizes(at),
    ...nginxHeaderSuspects(at, target),
    ...nginxRouteSuspects(at, target),
    ...errors(at),
    ...limits(at),
    ...connections(at),
    ...upstreams(at, root),
  ];
}

function streaming(at: NginxReader): readonly Suspect[] {
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

function sizes(at: NginxReader): readonly Suspect[] {
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

function errors(at: NginxReader): readonly Suspect[] {
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

function limits(at: NginxReader): readonly Suspect[] {
  const limit = at.get('limit_req') ?? at.get('limit_conn');
  const name = `${limit?.name ?? 'limit_req'}_status`;
  if (limit === null || at.get(name)?.args[0] === '429') return [];
  return ['limits/answers-429', 'proxy/limit-status'].map((code) =>
    at.suspect(limit, {
      code,
      expected: `${name} 429;`,
      cause: `${limit.name} answers 503 unless ${name} says otherwise, and clients take a 503 for an outage`,
      summary: 'Let it answer 429.',
      lines: [textOfDirective(limit), `${name} 429;`],
    }),
  );
}

function connections(at: NginxReader): readonly Suspect[] {
  const version = at.get('proxy_http_version');
  const keep = at.get('keepalive_timeout');
  const protocols = at.get('ssl_protocols');
  const passes = hasDirective(at.scope.location?.block ?? [], 'proxy_pass') !== null;
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

function upstreams(at: NginxReader, root: readonly NginxDirective[]): readonly Suspect[] {
  const pass = hasDirective(at.scope.location?.block ?? [], 'proxy_pass');
  const name = /^https?:\/\/([^/:]+)/.exec(pass?.args[0] ?? '')?.[1];
  const upstream = [...root, ...root.flatMap(({ block }) => block ?? [])].find(
    (directive) => directive.name === 'upstream' && directive.args[0] === name,
  );
  const block = upstream?.block ?? [];
  if (upstream === undefined || block.filter((directive) => directive.name === 'server').length < 2) return [];
  if (hasDirective(block, 'ip_hash') !== null || hasDirective(block, 'hash') !== null) return [];
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
