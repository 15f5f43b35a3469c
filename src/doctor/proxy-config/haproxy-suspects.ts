import type { ProxyConfigSeen } from '../observations.ts';
import {
  changeLines,
  durationMs,
  isUpstream,
  neededBodyBytes,
  neededHeaderBytes,
  shortTimeoutMs,
  type ConfigTarget,
  type LineChange,
  type Suspect,
} from './suspect.ts';

interface Line {
  readonly words: readonly string[];
  readonly text: string;
  readonly file: string;
  readonly line: number;
}

interface Section {
  readonly kind: string;
  readonly name: string;
  /** Defaults section that it names; else the last one before it counts. */
  readonly from: string | null;
  readonly lines: readonly Line[];
}

const commands = ['haproxy -c -f /etc/haproxy/haproxy.cfg', 'systemctl reload haproxy'];

/** Lines of HAProxy that can explain a finding at this endpoint. */
export function haproxySuspects({ files }: ProxyConfigSeen, target: ConfigTarget): readonly Suspect[] {
  const sections = sectionsOf(files);
  const proxies = sections.filter((section) => isOnTheWay(section, sections, target));
  const defaults = new Set(proxies.map((section) => defaultsOf(section, sections)));
  const passed = sections.filter(
    (section) => section.kind === 'global' || proxies.includes(section) || defaults.has(section),
  );
  const found: Suspect[] = [];
  const add = (
    { file, line, text }: Line,
    codes: readonly string[],
    words: Pick<Suspect, 'expected' | 'cause' | 'summary'> & { readonly observed?: string },
    change: LineChange,
  ): void => {
    const changed = changeLines(files, { file, line }, change, commands);
    for (const code of codes) found.push({ observed: text, ...words, code, file, line, ...changed });
  };
  for (const line of passed.flatMap(({ lines }) => lines)) suspectLine(line, add);
  for (const section of passed) suspectServers(section, target, add);
  for (const section of proxies) suspectAlpn(section, defaultsOf(section, sections), add);
  return found;
}

type Add = (
  line: Line,
  codes: readonly string[],
  words: Pick<Suspect, 'expected' | 'cause' | 'summary'> & { readonly observed?: string },
  change: LineChange,
) => void;

function suspectLine(line: Line, add: Add): void {
  const [first = '', second = '', third = ''] = line.words;
  const rest = line.words.join(' ').toLowerCase();
  const out = { replace: [] };
  if (first === 'timeout' && ['client', 'server', 'tunnel'].includes(second)) {
    const ms = durationMs(third, 'ms');
    if (ms === null || ms >= shortTimeoutMs) return;
    const words = {
      expected: `timeout ${second} 1h`,
      cause: `timeout ${second} is ${third}: HAProxy cuts what is silent for so long`,
      summary: 'Raise it; streams may be silent between two keep-alive comments, and tools work for long.',
    };
    add(line, ['proxy/read-timeout', 'stream/idle', 'http/answers', 'http/no-server-error', 'tools/call'], words, {
      replace: [`timeout ${second} 1h`],
    });
  } else if (first === 'option' && /^(?:httpclose|forceclose)$/.test(second)) {
    const cause = `option ${second} closes every connection`;
    add(line, ['http/keep-alive'], { expected: 'no such line', cause, summary: 'Take the line out.' }, out);
  } else if (first === 'compression' && second === 'type' && rest.includes('text/event-stream')) {
    const words = {
      expected: 'no text/event-stream among the types',
      cause: 'event streams are compressed, and so held back until there is enough',
      summary: 'Leave event streams out of compression.',
    };
    const types = line.words.filter((word) => word !== 'text/event-stream').join(' ');
    add(line, ['stream/compressed'], words, { replace: [types] });
  } else if (first === 'http-request' || first === 'http-response' || first === 'http-after-response') {
    suspectRule(line, rest, add);
  } else if (first === 'bind' && /ssl-min-ver (?:sslv3|tlsv1\.[01])\b/.test(rest)) {
    const replace = [line.text.replace(/ssl-min-ver \S+/i, 'ssl-min-ver TLSv1.2')];
    const cause = 'ssl-min-ver lets old versions in';
    add(line, ['tls/versions'], { expected: 'ssl-min-ver TLSv1.2', cause, summary: 'Raise it.' }, { replace });
  } else if (first === 'tune.bufsize' && Number(second) < neededHeaderBytes + 2_000) {
    const cause = `a request head must fit into tune.bufsize, which is ${second}`;
    const words = { expected: 'tune.bufsize 32768', cause, summary: 'Raise it.' };
    add(line, ['sizes/header'], words, { replace: ['tune.bufsize 32768'] });
  } else if (first === 'redirect') {
    const words = { expected: 'no redirect of the MCP path', cause: 'HAProxy redirects it', summary: 'Exempt it.' };
    add(line, ['http/no-redirect'], words, out);
  }
}

/** In mode tcp HAProxy ends TLS and passes bytes on: what it agreed on, the server has to speak. */
function suspectAlpn({ lines }: Section, defaults: Section | undefined, add: Add): void {
  const modeOf = (section: Section | undefined): string | undefined =>
    section?.lines.find(({ words }) => words[0] === 'mode')?.words[1];
  if ((modeOf({ lines } as Section) ?? modeOf(defaults) ?? 'tcp') !== 'tcp') return;
  for (const line of lines) {
    if (line.words[0] !== 'bind' || !/\salpn\s+\S*\bh2\b/.test(line.text)) continue;
    const words = {
      expected: 'alpn http/1.1',
      cause: 'HAProxy agrees on HTTP/2 and passes bytes on (mode tcp) to a server that speaks HTTP/1.1',
      summary: 'Offer http/1.1 alone, or use mode http.',
    };
    add(line, ['tls/alpn-kept'], words, { replace: [line.text.replace(/\salpn\s+\S+/, ' alpn http/1.1')] });
  }
}

/** Codes of findings that come from a header that is taken off. */
const codeOfHeader: Readonly<Record<string, string>> = {
  authorization: 'key/bearer',
  'x-api-key': 'key/x-api-key',
  origin: 'http/origin-refused',
  'www-authenticate': 'key/challenge',
};

function suspectRule(line: Line, rest: string, add: Add): void {
  const out = { replace: [] };
  const [, action = '', header = ''] = line.words;
  const name = header.toLowerCase();
  if (action === 'del-header') {
    const code = name.startsWith('mcp-') ? 'protocol/headers-kept' : codeOfHeader[name];
    if (code === undefined) return;
    const words = { expected: 'no such line', cause: `HAProxy takes ${header} off`, summary: 'Take the line out.' };
    add(line, [code], words, out);
  } else if ((action === 'set-header' || action === 'add-header') && /^(?:authorization|x-api-key)$/.test(name)) {
    const words = {
      observed: `${line.words.slice(0, 3).join(' ')} [secret]`,
      expected: 'no such line',
      cause: 'HAProxy gives every request a key',
      summary: 'Take the line out, and replace that key.',
    };
    add(line, ['key/none-refused'], words, out);
  } else if (action === 'set-header' && name === 'host') {
    const cause = 'Host is replaced, and the server does not know that name';
    add(line, ['http/host-allowed'], { expected: 'no such line', cause, summary: 'Pass Host on.' }, out);
  } else if (/^(?:set|add)-header$/.test(action) && name === 'access-control-allow-origin') {
    const cause = 'HAProxy adds the header beside that of the server';
    add(line, ['cors/single-origin'], { expected: 'no such line', cause, summary: 'Leave CORS to the server.' }, out);
  } else if (action === 'redirect') {
    const words = { expected: 'no redirect of the MCP path', cause: 'HAProxy redirects it', summary: 'Exempt it.' };
    add(line, ['http/no-redirect'], words, out);
  } else if (/^(?:set-path|replace-path|set-uri|replace-uri|set-pathq|replace-pathq)$/.test(action)) {
    const words = {
      expected: 'the path as it came',
      cause: 'HAProxy asks the server for another path',
      summary: 'Take the line out, or let it give the path of the server.',
    };
    add(line, ['http/endpoint-found'], words, out);
  } else if ((action === 'deny' || action === 'return') && isSmallLimit(rest)) {
    const words = {
      expected: 'a limit of 10 MB or more',
      cause: 'requests above a size are refused here',
      summary: 'Raise the limit.',
    };
    add(line, ['sizes/body'], words, { replace: [line.text.replace(/\bgt \d+/, 'gt 10485760')] });
  } else if (action === 'deny' && /\bsc\d?_|src_http_req_rate|rate/.test(rest) && !/deny_status 429/.test(rest)) {
    const words = {
      expected: 'deny deny_status 429',
      cause: 'the limit answers with another status than 429, which clients take for an outage',
      summary: 'Let it answer 429.',
    };
    const text = line.text.replace(/deny(?: deny_status \d+)?/, 'deny deny_status 429');
    add(line, ['limits/answers-429', 'proxy/limit-status'], words, { replace: [text] });
  } else if (line.words[0] !== 'http-request' && action === 'return') {
    const words = {
      expected: 'the answer of the server',
      cause: 'HAProxy replaces errors of the server by its own answer',
      summary: 'Take the line out.',
    };
    add(line, ['http/errors-json', 'protocol/unknown-session', 'key/challenge'], words, out);
  }
}

/** A refusal by size that lies below what is sent. */
function isSmallLimit(rest: string): boolean {
  const limit = /(?:content-length|req\.body_(?:size|len))\S* gt (\d+)/.exec(rest)?.[1];
  return limit !== undefined && Number(limit) < neededBodyBytes;
}

function suspectServers({ kind, lines }: Section, target: ConfigTarget, add: Add): void {
  if (kind !== 'backend' && kind !== 'listen') return;
  const servers = lines.filter(({ words }) => words[0] === 'server');
  const [first] = servers;
  for (const line of servers) {
    const address = line.words[2] ?? '';
    if (target.upstream === null || isUpstream(address, target) !== false || servers.length > 1) continue;
    const words = {
      expected: `${line.words.slice(0, 2).join(' ')} ${target.upstream}`,
      cause: `HAProxy passes requests to ${address}; the server listens on ${target.upstream}`,
      summary: 'Name the address of the server.',
    };
    add(line, ['http/no-server-error'], words, { replace: [line.text.replace(address, target.upstream)] });
  }
  const sticks = lines.some(({ words }) => words[0] === 'stick' && words.join(' ').includes('mcp-session-id'));
  const hashes = lines.some(({ words }) => words[0] === 'balance' && words[1] === 'source');
  if (servers.length < 2 || sticks || hashes || first === undefined) return;
  const words = {
    observed: `${servers.length} servers without affinity`,
    expected: 'a session stays with the server that opened it',
    cause: 'requests are spread over servers that do not know each other’s sessions',
    summary: 'Keep a session with its server, or let the servers share sessions.',
  };
  const insert = [
    'stick-table type string len 64 size 100k expire 1h',
    'stick store-response res.hdr(mcp-session-id)',
    'stick match req.hdr(mcp-session-id)',
    first.text,
  ];
  add(first, ['session/kept'], words, { replace: insert });
}

const sectionWord =
  /^(?:global|defaults|frontend|backend|listen|userlist|peers|resolvers|cache|http-errors|program|mailers|ring|log-forward)$/;

function sectionsOf(files: ProxyConfigSeen['files']): readonly Section[] {
  const sections: (Section & { lines: Line[] })[] = [];
  for (const { path, text } of files) {
    for (const [index, raw] of text.split('\n').entries()) {
      const trimmed = withoutComment(raw).trim();
      const words = trimmed.split(/\s+/);
      const [kind = '', name = ''] = words;
      if (trimmed === '') continue;
      const from = words.includes('from') ? (words[words.indexOf('from') + 1] ?? null) : null;
      if (sectionWord.test(kind)) sections.push({ kind, name, from, lines: [] });
      else sections.at(-1)?.lines.push({ words, text: trimmed, file: path, line: index + 1 });
    }
  }
  return sections;
}

/** A hash begins a comment, except within quotes or behind a backslash. */
function withoutComment(line: string): string {
  return /^(?:[^#"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*/.exec(line)?.[0] ?? line;
}

function defaultsOf(section: Section, all: readonly Section[]): Section | undefined {
  const before = all.slice(0, all.indexOf(section)).filter(({ kind }) => kind === 'defaults');
  return section.from === null
    ? before.at(-1)
    : all.find(({ kind, name }) => kind === 'defaults' && name === section.from);
}

/** The section that listens there, and those that it sends to. */
function isOnTheWay({ kind, name, lines }: Section, all: readonly Section[], { port }: ConfigTarget): boolean {
  if (kind === 'frontend' || kind === 'listen') return bindsTo(lines, port);
  if (kind !== 'backend') return false;
  return all.some(
    (section) =>
      section.kind === 'frontend' &&
      bindsTo(section.lines, port) &&
      section.lines.some(({ words }) => /^(?:default|use)_backend$/.test(words[0] ?? '') && words[1] === name),
  );
}

function bindsTo(lines: readonly Line[], port: number): boolean {
  return lines.some(
    ({ words }) => words[0] === 'bind' && (words[1] ?? '').split(',').some((each) => each.endsWith(`:${port}`)),
  );
}
