import type { ProxyConfigSeen } from '../observations.ts';
import { caddyJsonSuspects, isCaddyJson } from './caddy-json-suspects.ts';
import {
  changeLines,
  durationMs,
  isUpstream,
  neededBodyBytes,
  shortTimeoutMs,
  sizeBytes,
  type ConfigTarget,
  type LineChange,
  type Suspect,
} from './suspect.ts';

interface Line {
  readonly words: readonly string[];
  readonly file: string;
  readonly line: number;
  /** Names of the blocks around it, outermost first. */
  readonly within: readonly string[];
  readonly opens: boolean;
}

const commands = ['caddy validate --config /etc/caddy/Caddyfile', 'systemctl reload caddy'];

/** Lines of a Caddyfile, or places of Caddy's JSON, that can explain a finding at this endpoint. */
export function caddySuspects(config: ProxyConfigSeen, target: ConfigTarget): readonly Suspect[] {
  const { files } = config;
  if (isCaddyJson(files[0]?.text ?? '')) return caddyJsonSuspects(config, target);
  const lines = files.flatMap(({ path, text }) => linesOf(path, text)).filter((line) => concerns(line, target));
  const found: Suspect[] = [];
  for (const line of lines) {
    for (const { codes, change, at = line, ...words } of judgeLine(line, lines, target)) {
      const { file, line: number } = line;
      // The first line of a block is not taken out alone.
      const possible = change === takeOut && line.opens ? null : change;
      const changed = changeLines(files, { file: at.file, line: at.line }, possible, commands);
      const observed = line.words.join(' ');
      for (const code of codes) found.push({ observed, ...words, code, file, line: number, ...changed });
    }
  }
  return found;
}

interface Judged extends Pick<Suspect, 'expected' | 'cause' | 'summary'> {
  readonly observed?: string;
  readonly codes: readonly string[];
  readonly change: LineChange;
  /** The line that changes, where it is another one. */
  readonly at?: Line;
}

const takeOut: LineChange = { replace: [] };

function judgeLine(line: Line, all: readonly Line[], target: ConfigTarget): readonly Judged[] {
  const { words } = line;
  const [name = '', first = ''] = words;
  switch (name) {
    case 'encode':
      return judgeEncode(line, all, target);
    case 'buffer_responses':
    case 'response_buffers':
      return [
        {
          codes: ['stream/first-event'],
          expected: 'no such line',
          cause: `${name} holds answers back until they are complete`,
          summary: 'Take the line out; Caddy passes event streams on at once by itself.',
          change: takeOut,
        },
      ];
    case 'max_size':
      return within(line, 'request_body') && (sizeBytes(first, true) ?? Infinity) < neededBodyBytes
        ? [
            {
              codes: ['sizes/body'],
              expected: 'max_size 10MB',
              cause: `requests may have ${first}`,
              summary: 'Raise it.',
              change: { replace: ['max_size 10MB'] },
            },
          ]
        : [];
    case 'max_header_size':
      return [
        {
          codes: ['sizes/header'],
          expected: 'max_header_size 16KB',
          cause: `request heads may have ${first}`,
          summary: 'Raise it.',
          change: { replace: ['max_header_size 16KB'] },
        },
      ];
    case 'read_timeout':
    case 'response_header_timeout':
    case 'stream_timeout': {
      const ms = durationMs(first, 's');
      return ms === null || ms === 0 || ms >= shortTimeoutMs
        ? []
        : [
            {
              codes: ['proxy/read-timeout', 'stream/idle', 'http/answers', 'http/no-server-error', 'tools/call'],
              expected: `${name} 1h`,
              cause: `${name} is ${first}: Caddy gives up on what takes longer`,
              summary: 'Raise it.',
              change: { replace: [`${name} 1h`] },
            },
          ];
    }
    case 'header_up':
    case 'header_down':
    case 'header':
    case 'request_header':
      return judgeHeader(line);
    case 'redir':
      return [
        {
          codes: ['http/no-redirect'],
          expected: `no redirect of ${target.path}`,
          cause: 'Caddy answers the path with a redirect',
          summary: `Limit it to other paths, or pass ${target.path} on before it.`,
          change: takeOut,
        },
      ];
    case 'rewrite':
    case 'uri':
    case 'handle_path':
      return [
        {
          codes: ['http/endpoint-found'],
          expected: name === 'handle_path' ? `handle ${first}` : 'the path as it came',
          cause: `${name} makes Caddy ask the server for another path`,
          summary: 'Pass the path on as it came.',
          change:
            name === 'handle_path'
              ? { replace: [`handle ${words.slice(1).join(' ')}${line.opens ? ' {' : ''}`] }
              : takeOut,
        },
      ];
    case 'respond':
      return line.within.some((block) => block.startsWith('handle_errors') || block.startsWith('handle_response'))
        ? [
            {
              codes: ['http/errors-json', 'protocol/unknown-session'],
              expected: 'the error of the server',
              cause: 'Caddy replaces errors by its own answer',
              summary: 'Let the errors of the server through.',
              change: takeOut,
            },
          ]
        : [
            {
              codes: ['http/json-not-html', 'http/endpoint-found', 'http/well-knowns-json'],
              expected: 'reverse_proxy to the server',
              cause: 'Caddy answers the path itself',
              summary: `Pass ${target.path} on to the server.`,
              ...takeOutAnswer(line, all),
            },
          ];
    case 'reverse_proxy':
      return judgeUpstreams(line, all, target);
    default:
      return [];
  }
}

/** With the line before it that only says what kind of text it is. */
function takeOutAnswer(line: Line, all: readonly Line[]): Pick<Judged, 'change' | 'at'> {
  const before = all.find((each) => each.file === line.file && each.line === line.line - 1);
  const [name, field = ''] = before?.words ?? [];
  const typed = name === 'header' && field.toLowerCase() === 'content-type' && !line.opens;
  return before !== undefined && typed ? { at: before, change: { replace: [], count: 2 } } : { change: takeOut };
}

/**
 * By itself `encode` takes every text type, so event streams too. A matcher for other types of answers leaves them out, but
 * holds their head back until the first event all the same (Caddy 2.6): the path is what has to be left out.
 */
function judgeEncode(line: Line, all: readonly Line[], { path }: ConfigTarget): readonly Judged[] {
  const [, first = ''] = line.words;
  const matcher = all.find(({ words }) => words[0] === first && words[1] === 'not' && words[2] === 'path');
  if (matcher?.words.includes(path) === true) return [];
  const matched = /^[@/]/.test(first);
  const rest = line.words.slice(first === '*' ? 2 : 1).join(' ');
  const name = matcherNames.find((each) => !all.some(({ words }) => words[0] === each)) ?? '';
  return [
    {
      codes: ['stream/compressed'],
      expected: `encode for other paths than ${path}`,
      cause: 'encode compresses event streams too, and holds them back until there is enough',
      summary: `Leave ${path} out of encode.`,
      change: matched
        ? takeOut
        : {
            replace: [
              `${name} not path ${path}`,
              `encode ${name}${rest === '' ? '' : ` ${rest}`}${line.opens ? ' {' : ''}`,
            ],
          },
    },
  ];
}

const matcherNames = ['@not_mcp', '@not_mcp_endpoint'];

/** Codes of findings that come from a header that is taken off. */
const codeOfHeader: Readonly<Record<string, string>> = {
  authorization: 'key/bearer',
  'x-api-key': 'key/x-api-key',
  origin: 'http/origin-refused',
  'www-authenticate': 'key/challenge',
};

function judgeHeader({ words }: Line): readonly Judged[] {
  const [name = '', ...rest] = words;
  const [field = '', value] = /^[/@*]/.test(rest[0] ?? '') ? rest.slice(1) : rest;
  const lower = field.replace(/^[-+?>]/, '').toLowerCase();
  if (field.startsWith('-')) {
    const code = lower.startsWith('mcp-') ? 'protocol/headers-kept' : codeOfHeader[lower];
    const cause = `Caddy takes ${field.slice(1)} off`;
    return code === undefined
      ? []
      : [{ codes: [code], expected: 'no such line', cause, summary: 'Take the line out.', change: takeOut }];
  }
  if (value === undefined) return [];
  if (name === 'header_up' && lower === 'host' && !/\{(?:http\.request\.)?host(?:port)?\}/.test(value)) {
    const cause = `Host is replaced by ${value}, and the server does not know that name`;
    return [
      { codes: ['http/host-allowed'], expected: 'no such line', cause, summary: 'Pass Host on.', change: takeOut },
    ];
  }
  if (name !== 'header' && name !== 'header_down' && /^(?:authorization|x-api-key)$/.test(lower)) {
    return [
      {
        codes: ['key/none-refused'],
        observed: `${name} ${field} [secret]`,
        expected: 'no such line',
        cause: 'Caddy gives every request a key',
        summary: 'Take the line out, and replace that key.',
        change: takeOut,
      },
    ];
  }
  if (lower === 'access-control-allow-origin') {
    const cause = 'Caddy adds the header beside that of the server';
    const summary = 'Leave CORS to the server.';
    return [{ codes: ['cors/single-origin'], expected: 'no such line', cause, summary, change: takeOut }];
  }
  return lower === 'connection' && value === 'close'
    ? [
        {
          codes: ['http/keep-alive'],
          expected: 'no such line',
          cause: 'Caddy closes every connection',
          summary: 'Take the line out.',
          change: takeOut,
        },
      ]
    : [];
}

function judgeUpstreams(line: Line, all: readonly Line[], target: ConfigTarget): readonly Judged[] {
  const servers = line.words.slice(1).filter((word) => /[:/]/.test(word) && !/^[/@]/.test(word));
  const inside = all.filter(({ within: blocks }) => blocks.some((block) => block.startsWith('reverse_proxy')));
  const more = inside.filter(({ words }) => words[0] === 'to').flatMap(({ words }) => words.slice(1));
  const [only] = [...servers, ...more];
  const down: readonly Judged[] =
    only !== undefined && servers.length === 1 && target.upstream !== null && isUpstream(only, target) === false
      ? [
          {
            codes: ['http/no-server-error'],
            expected: line.words.join(' ').replace(only, target.upstream),
            cause: `Caddy passes the path to ${only}; the server listens on ${target.upstream}`,
            summary: 'Name the address of the server.',
            change: { replace: [line.words.join(' ').replace(only, target.upstream) + (line.opens ? ' {' : '')] },
          },
        ]
      : [];
  const chosen = inside.find(({ words }) => words[0] === 'lb_policy');
  const policy = chosen?.words[1] ?? 'random';
  if (servers.length + more.length < 2 || /^(?:ip_hash|client_ip_hash|first|header)$/.test(policy)) return down;
  return [
    ...down,
    {
      codes: ['session/kept'],
      expected: 'a client stays with one server',
      cause: 'Caddy spreads requests over servers that do not know each other’s sessions',
      summary: 'Let the servers share sessions; lb_policy ip_hash keeps a client with one server meanwhile.',
      // A second policy is refused: the one that is there gives way.
      ...(chosen === undefined ? {} : { at: chosen }),
      change:
        chosen !== undefined
          ? { replace: ['lb_policy ip_hash'] }
          : line.opens
            ? { insert: ['lb_policy ip_hash'] }
            : { replace: [`${line.words.join(' ')} {`, '    lb_policy ip_hash', '}'] },
    },
  ];
}

function within({ within: blocks }: Line, name: string): boolean {
  return blocks.some((block) => block === name || block.startsWith(`${name} `));
}

/** Of a site whose address has this port (443 when it names none), or of no site: snippets and global options. */
function concerns({ within: blocks }: Line, { port }: ConfigTarget): boolean {
  const [site] = blocks;
  if (site === undefined || site === '' || site.startsWith('(')) return true;
  return site.split(/[\s,]+/).some((address) => {
    if (address === '') return false;
    const named = /:(\d+)(?:\/|$)/.exec(address)?.[1];
    return Number(named ?? (address.startsWith('http://') ? 80 : 443)) === port;
  });
}

function linesOf(path: string, text: string): readonly Line[] {
  const lines: Line[] = [];
  const blocks: string[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const words = wordsOf(raw);
    if (words.length === 0) continue;
    const opens = words.at(-1) === '{';
    const said = opens ? words.slice(0, -1) : words;
    if (words.length === 1 && words[0] === '}') {
      blocks.pop();
      continue;
    }
    if (blocks.length > 0 || !opens)
      lines.push({ words: said, file: path, line: index + 1, within: [...blocks], opens });
    if (opens) blocks.push(said.join(' '));
  }
  return lines;
}

function wordsOf(line: string): readonly string[] {
  const words = line.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|\S+/g) ?? [];
  const comment = words.findIndex((word) => word.startsWith('#'));
  return (comment === -1 ? words : words.slice(0, comment)).map((word) =>
    /^(".*"|`.*`)$/s.test(word) ? word.slice(1, -1) : word,
  );
}
