import {
  applyEdits,
  findNodeAtLocation,
  getNodeValue,
  modify,
  parseTree,
  type JSONPath,
  type Node,
} from 'jsonc-parser';
import type { ProxyConfigSeen } from '../observations.ts';
import { changeFile, type FileChange } from './change-file.ts';
import {
  durationMs,
  isUpstream,
  neededBodyBytes,
  neededHeaderBytes,
  shortTimeoutMs,
  type ConfigTarget,
  type Suspect,
} from './suspect.ts';

/** Whether this is Caddy's own JSON and not a Caddyfile. */
export function isCaddyJson(text: string): boolean {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && ('apps' in parsed || 'admin' in parsed);
  } catch {
    return false;
  }
}

/** Places of Caddy's JSON that can explain a finding at this endpoint. A file that is an URL is that of its admin API. */
export function caddyJsonSuspects({ files }: ProxyConfigSeen, target: ConfigTarget): readonly Suspect[] {
  const [file] = files;
  const root = file === undefined ? undefined : parseTree(file.text);
  if (file === undefined || root === undefined) return [];
  const servers = asRecord(valueAt(asRecord(getNodeValue(root)), ['apps', 'http', 'servers']));
  const found: Judged[] = [];
  for (const [name, server] of Object.entries(servers)) {
    if (!strings(asRecord(server)['listen']).some((address) => portOf(address) === target.port)) continue;
    const path = ['apps', 'http', 'servers', name];
    found.push(...judgeServer(asRecord(server), path), ...walk(server, path, target));
  }
  return found.flatMap(({ codes, path, value, observed, ...words }) => {
    const node = findNodeAtLocation(root, [...path]);
    const line = file.text.slice(0, node?.parent?.type === 'property' ? node.parent.offset : (node?.offset ?? 0));
    const said = observed ?? JSON.stringify(node === undefined ? null : getNodeValue(node)).slice(0, 120);
    const change = changeOf(file, root, path, value);
    return codes.map((code) => ({
      ...words,
      ...change,
      code,
      file: file.path,
      line: line.split('\n').length,
      observed: `${path.join('/')}: ${said}`,
    }));
  });
}

interface Judged extends Pick<Suspect, 'expected' | 'cause' | 'summary'> {
  readonly codes: readonly string[];
  /** What is wrong, from the root. */
  readonly path: JSONPath;
  /** What belongs there; undefined: nothing. */
  readonly value: unknown;
  /** In place of what stands there, which may be secret. */
  readonly observed?: string;
}

/** A file is changed and loaded again; what only the admin API knows is changed there. */
function changeOf(
  { path: file, text }: ProxyConfigSeen['files'][number],
  root: Node,
  path: JSONPath,
  value: unknown,
): FileChange {
  const tabSize = /^( +)\S/m.exec(text)?.[1]?.length ?? 2;
  const formattingOptions = { insertSpaces: !/^\t/m.test(text), tabSize };
  const after = applyEdits(text, modify(text, path, value, { formattingOptions }));
  if (/^https?:/.test(file)) {
    return { ...changeFile(file, text, after, []), commands: [changeThroughApi(file, root, path, value)] };
  }
  const commands = [`caddy validate --config ${file}`, `caddy reload --config ${file}`];
  const changed = changeFile(file, text, after, commands);
  // Lines that are taken out of JSON by their numbers may leave a comma behind.
  return changed.diff === undefined ? { commands } : changed;
}

/** PATCH replaces what is there, PUT makes what is not; neither makes what is around it. */
function changeThroughApi(url: string, root: Node, path: JSONPath, value: unknown): string {
  if (value === undefined) return `curl -X DELETE '${url}${path.join('/')}'`;
  let [at, body] = [path, value];
  while (at.length > 1 && findNodeAtLocation(root, at.slice(0, -1)) === undefined) {
    [at, body] = [at.slice(0, -1), { [String(at.at(-1))]: body }];
  }
  const method = findNodeAtLocation(root, at) === undefined ? 'PUT' : 'PATCH';
  const json = JSON.stringify(body).replaceAll("'", String.raw`'\''`);
  return `curl -X ${method} -H 'Content-Type: application/json' -d '${json}' '${url}${at.join('/')}'`;
}

/** Every handler that a request for the endpoint can come to. */
function walk(value: unknown, path: JSONPath, target: ConfigTarget): readonly Judged[] {
  if (Array.isArray(value)) return value.flatMap((each, index) => walk(each, [...path, index], target));
  if (typeof value !== 'object' || value === null) return [];
  const record = value as Record<string, unknown>;
  if (!matchesTarget(record['match'], target)) return [];
  const own = typeof record['handler'] === 'string' ? judgeHandler(record, path, target) : [];
  return [...own, ...Object.entries(record).flatMap(([name, each]) => walk(each, [...path, name], target))];
}

/** Any of a route's matchers has to fit; only host and path are looked at. */
function matchesTarget(match: unknown, { host, path }: ConfigTarget): boolean {
  if (!Array.isArray(match) || match.length === 0) return true;
  return match.map(asRecord).some((matcher) => {
    const hosts = strings(matcher['host']);
    const paths = strings(matcher['path']);
    return (
      (hosts.length === 0 || hosts.some((each) => fits(each, host))) &&
      (paths.length === 0 || paths.some((each) => fits(each, path)))
    );
  });
}

function fits(pattern: string, text: string): boolean {
  const escaped = pattern.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*');
  return new RegExp(`^${escaped}$`, 'i').test(text);
}

function judgeServer(server: Readonly<Record<string, unknown>>, path: JSONPath): readonly Judged[] {
  const protocols = strings(server['protocols']);
  const headerBytes = server['max_header_bytes'];
  const found: Judged[] = [];
  if (protocols.length > 0 && !protocols.includes('h1')) {
    found.push({
      codes: ['tls/alpn'],
      path: [...path, 'protocols'],
      value: ['h1', ...protocols],
      expected: 'h1 among them',
      cause: `Caddy speaks ${protocols.join(' and ')} only`,
      summary: 'Let it speak HTTP/1.1 too.',
    });
  }
  if (typeof headerBytes === 'number' && headerBytes < neededHeaderBytes + 2_000) {
    found.push({
      codes: ['sizes/header'],
      path: [...path, 'max_header_bytes'],
      value: 16_384,
      expected: '16384',
      cause: `request heads may have ${headerBytes} bytes`,
      summary: 'Raise it.',
    });
  }
  return found;
}

function judgeHandler(
  handler: Readonly<Record<string, unknown>>,
  path: JSONPath,
  target: ConfigTarget,
): readonly Judged[] {
  switch (handler['handler']) {
    case 'reverse_proxy':
      return [
        ...judgeUpstreams(handler, path, target),
        ...judgePatience(handler, path),
        ...judgeHeaders(asRecord(handler['headers']), [...path, 'headers']),
      ];
    case 'headers':
      return judgeHeaders(handler, path);
    case 'encode':
      if (handler['match'] !== undefined) return [];
      return [
        {
          codes: ['stream/compressed'],
          path: [...path, 'match'],
          value: { headers: { 'Content-Type': ['application/json*'] } },
          observed: 'not set',
          expected: 'a match for JSON alone',
          cause: 'encode compresses event streams too, and holds them back until there is enough',
          summary: 'Leave event streams out of encode.',
        },
      ];
    case 'request_body': {
      const size = handler['max_size'];
      if (typeof size !== 'number' || size >= neededBodyBytes) return [];
      return [
        {
          codes: ['sizes/body'],
          path: [...path, 'max_size'],
          value: 10_485_760,
          expected: '10485760',
          cause: `requests may have ${size} bytes`,
          summary: 'Raise it.',
        },
      ];
    }
    case 'rewrite':
      return ['strip_path_prefix', 'strip_path_suffix', 'uri', 'path_regexp', 'uri_substring'].flatMap((name) =>
        handler[name] === undefined
          ? []
          : [
              {
                codes: ['http/endpoint-found'],
                path: [...path, name],
                value: undefined,
                expected: 'the path as it came',
                cause: `${name} makes Caddy ask the server for another path`,
                summary: 'Pass the path on as it came.',
              },
            ],
      );
    case 'static_response':
      return [judgeAnswer(handler, path, target)];
    default:
      return [];
  }
}

function judgeAnswer(
  { status_code: status }: Readonly<Record<string, unknown>>,
  path: JSONPath,
  target: ConfigTarget,
): Judged {
  const redirects = /^3\d\d$/.test(String(status));
  const ofErrors = path.includes('errors');
  return {
    codes: redirects
      ? ['http/no-redirect']
      : ofErrors
        ? ['http/errors-json', 'protocol/unknown-session']
        : ['http/json-not-html', 'http/endpoint-found', 'http/well-knowns-json'],
    path,
    value: undefined,
    expected: `${target.path} passed on to the server`,
    cause: ofErrors
      ? 'Caddy replaces errors by its own answer'
      : `Caddy answers the path itself${redirects ? ' with a redirect' : ''}`,
    summary: `Limit it to other paths, or pass ${target.path} on before it.`,
  };
}

function judgeUpstreams(
  handler: Readonly<Record<string, unknown>>,
  path: JSONPath,
  target: ConfigTarget,
): readonly Judged[] {
  const dials = (Array.isArray(handler['upstreams']) ? handler['upstreams'] : []).map((each) =>
    String(asRecord(each)['dial']),
  );
  const [only = ''] = dials;
  if (dials.length === 1 && target.upstream !== null && isUpstream(only, target) === false) {
    return [
      {
        codes: ['http/no-server-error'],
        path: [...path, 'upstreams', 0, 'dial'],
        value: target.upstream,
        expected: target.upstream,
        cause: `Caddy passes the path to ${only}; the server listens on ${target.upstream}`,
        summary: 'Name the address of the server.',
      },
    ];
  }
  const named = valueAt(handler, ['load_balancing', 'selection_policy', 'policy']);
  const policy = typeof named === 'string' ? named : 'random';
  if (dials.length < 2 || /^(?:ip_hash|client_ip_hash|first|header)$/.test(policy)) return [];
  return [
    {
      codes: ['session/kept'],
      path: [...path, 'load_balancing', 'selection_policy'],
      value: { policy: 'ip_hash' },
      observed: policy,
      expected: 'a client stays with one server',
      cause: 'Caddy spreads requests over servers that do not know each other’s sessions',
      summary: 'Let the servers share sessions; ip_hash keeps a client with one server meanwhile.',
    },
  ];
}

function judgePatience(handler: Readonly<Record<string, unknown>>, path: JSONPath): readonly Judged[] {
  const transport = asRecord(handler['transport']);
  const found: Judged[] = [];
  for (const [record, of, name] of [
    [transport, 'transport', 'read_timeout'],
    [transport, 'transport', 'response_header_timeout'],
    [handler, null, 'stream_timeout'],
  ] as const) {
    const value = record[name];
    // A bare number counts nanoseconds.
    const ms = typeof value === 'number' ? value / 1e6 : typeof value === 'string' ? durationMs(value, 's') : null;
    if (ms === null || ms === 0 || ms >= shortTimeoutMs) continue;
    found.push({
      codes: ['proxy/read-timeout', 'stream/idle', 'http/answers', 'http/no-server-error', 'tools/call'],
      path: [...path, ...(of === null ? [] : [of]), name],
      value: '1h',
      expected: '"1h"',
      cause: `${name} is ${ms / 1_000} s: Caddy gives up on what takes longer`,
      summary: 'Raise it.',
    });
  }
  for (const name of ['buffer_responses', 'response_buffers']) {
    if (handler[name] === undefined || handler[name] === false) continue;
    found.push({
      codes: ['stream/first-event'],
      path: [...path, name],
      value: undefined,
      expected: 'not set',
      cause: `${name} holds answers back until they are complete`,
      summary: 'Take it out; Caddy passes event streams on at once by itself.',
    });
  }
  return found;
}

/** Codes of findings that come from a header that is taken off. */
const codeOfHeader: Readonly<Record<string, string>> = {
  authorization: 'key/bearer',
  'x-api-key': 'key/x-api-key',
  origin: 'http/origin-refused',
  'www-authenticate': 'key/challenge',
};

function judgeHeaders(headers: Readonly<Record<string, unknown>>, path: JSONPath): readonly Judged[] {
  const found: Judged[] = [];
  for (const side of ['request', 'response'] as const) {
    const ops = asRecord(headers[side]);
    const removed = strings(ops['delete']);
    for (const name of removed) {
      const code = name.toLowerCase().startsWith('mcp-') ? 'protocol/headers-kept' : codeOfHeader[name.toLowerCase()];
      if (code === undefined) continue;
      const left = removed.filter((each) => each !== name);
      found.push({
        codes: [code],
        path: [...path, side, 'delete'],
        value: left.length === 0 ? undefined : left,
        expected: `no ${name} among them`,
        cause: `Caddy takes ${name} off`,
        summary: 'Take it out of the list.',
      });
    }
    for (const how of ['set', 'add']) {
      for (const [name, values] of Object.entries(asRecord(ops[how]))) {
        found.push(...judgeSet(side, name.toLowerCase(), strings(values), [...path, side, how, name]));
      }
    }
  }
  return found;
}

function judgeSet(
  side: 'request' | 'response',
  name: string,
  values: readonly string[],
  path: JSONPath,
): readonly Judged[] {
  const out = { path, value: undefined, expected: 'not set' };
  if (
    side === 'request' &&
    name === 'host' &&
    !values.some((value) => /\{http\.request\.(?:host|hostport)\}/.test(value))
  ) {
    const cause = `Host is replaced by ${values.join(', ')}, and the server does not know that name`;
    return [{ ...out, codes: ['http/host-allowed'], cause, summary: 'Pass Host on.' }];
  }
  if (side === 'request' && (name === 'authorization' || name === 'x-api-key')) {
    const cause = 'Caddy gives every request a key';
    const summary = 'Take it out, and replace that key.';
    return [{ ...out, codes: ['key/none-refused'], observed: '[secret]', cause, summary }];
  }
  if (side === 'response' && name === 'access-control-allow-origin') {
    const cause = 'Caddy adds the header beside that of the server';
    return [{ ...out, codes: ['cors/single-origin'], cause, summary: 'Leave CORS to the server.' }];
  }
  return [];
}

/** `:443`, `127.0.0.1:8443`, `tcp/:443`; a range counts for its first port. */
function portOf(address: string): number {
  return Number(/:(\d+)(?:-\d+)?$/.exec(address)?.[1] ?? NaN);
}

function valueAt(record: Readonly<Record<string, unknown>>, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, name) => asRecord(value)[name], record);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
