import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send, sendEmpty, sendJson } from '../../src/server/http/answers.ts';
import type { HttpHandler } from '../../src/server/http/http-message.ts';
import { createHttpServers, type HttpServers } from '../../src/server/http/http-servers.ts';
import { QuickRequest } from '../../src/server/http/quick/quick-request.ts';
import { BodyBudget, readBody } from '../../src/server/http/read-body.ts';
import { UnreadBytes } from '../../src/server/http/unread-bytes.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Two servers that differ in one thing: whether plain requests are read without node:http. */
interface Pair {
  readonly quick: Side;
  readonly node: Side;
}

interface Side {
  readonly port: number;
  readonly servers: HttpServers;
  /** What was seen of the requests of a connection, by its X-Case header. */
  readonly seen: Map<string, string[]>;
  quickRequests: number;
}

const longText = 'ä'.repeat(300_000);
/** Long enough for requests in pieces on a busy machine; what never ends ends after it. */
const patienceMs = 2_000;
let pair: Pair;

beforeAll(async () => {
  pair = { quick: await startSide(true), node: await startSide(false) };
});
afterAll(async () => {
  await Promise.all([pair.quick.servers.close(0), pair.node.servers.close(0)]);
});

async function startSide(isQuick: boolean): Promise<Side> {
  const seen = new Map<string, string[]>();
  const unread = new UnreadBytes(64 * 1_048_576, { readerCut() {} });
  const handler: HttpHandler = (req, res) => {
    if (req instanceof QuickRequest) side.quickRequests++;
    const budget = new BodyBudget(1_048_576);
    const receiver = {
      req,
      bodyRead(text: string, bytes: number): void {
        const name = String(req.headers['x-case']);
        seen.set(name, [...(seen.get(name) ?? []), JSON.stringify([req.method, req.url, req.headers, text, bytes])]);
        answer(req.url ?? '/', res);
      },
      bodyTooLarge: () => sendEmpty(res, 413, ['Connection', 'close']),
      bodyRefused: () => sendEmpty(res, 503),
    };
    readBody(receiver, 500_000, budget);
  };
  const servers = createHttpServers(
    null,
    handler,
    createLog({ level: 'error' }),
    {
      quick: isQuick,
      headersTimeout: patienceMs,
      requestTimeout: patienceMs,
      keepAliveTimeout: patienceMs,
      connectionsCheckingInterval: 100,
    },
    { unread },
  );
  const server = servers.create(false);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  servers.start();
  const side: Side = { port: (server.address() as AddressInfo).port, servers, seen, quickRequests: 0 };
  return side;
}

/** One form of answer for each path: all that the server gives. */
const answer = (url: string, res: Parameters<HttpHandler>[1]): void => {
  if (url === '/json') sendJson(res, 200, '{"text":"käse"}', ['X-Request-Id', 'a-1']);
  else if (url === '/empty') sendEmpty(res, 202);
  else if (url === '/none') sendEmpty(res, 204, ['X-A', 'b']);
  else if (url === '/long') sendJson(res, 200, longText);
  else if (url === '/bytes') send(res, 200, 'application/octet-stream', Buffer.from([0, 255, 13, 10]));
  else if (url === '/last') sendJson(res, 500, '{}', ['Connection', 'close']);
  else if (url === '/set') {
    res.setHeader('Vary', 'Origin');
    sendJson(res, 200, '{}', ['X-A', 'late']);
  } else if (url === '/replaced') {
    res.setHeader('X-A', 'early');
    sendJson(res, 200, '{}', ['x-a', 'late']);
  } else if (url === '/stream') {
    res.writeHead(200, ['Content-Type', 'text/event-stream']);
    res.write(': open\n\n');
    res.write('');
    res.write('data: ä\n\n');
    res.end();
  } else if (url === '/stream-bytes') {
    res.writeHead(200, ['Content-Type', 'text/plain']);
    res.write(Buffer.from('one'));
    res.end(Buffer.from('two'));
  } else sendJson(res, 404, '{}');
};

/** Sends pieces and gives all that comes until the server closes. */
function exchange(port: number, pieces: readonly Buffer[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    const got: Buffer[] = [];
    socket.on('data', (chunk) => got.push(chunk));
    socket.on('close', () => resolve(withoutDate(Buffer.concat(got).toString('latin1'))));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // The server closes while pieces are still coming.
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error);
    });
    const next = (at: number): void => {
      const piece = pieces[at];
      if (piece === undefined || socket.destroyed) return;
      socket.write(piece, () => setTimeout(next, 2, at + 1));
    };
    next(0);
  });
}

function withoutDate(text: string): string {
  return text.replaceAll(/^Date: [^\r]*/gm, 'Date: now');
}

function post(name: string, path: string, body: string, extra = ''): string {
  return (
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Case: ${name}\r\n${extra}` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

/** Both answers, and what both have seen. */
async function compare(name: string, pieces: readonly Buffer[]): Promise<void> {
  const { quick, node } = pair;
  const [ours, theirs] = await Promise.all([exchange(quick.port, pieces), exchange(node.port, pieces)]);
  expect(ours).toBe(theirs);
  expect(quick.seen.get(name)).toEqual(node.seen.get(name));
}

const paths = ['/json', '/empty', '/none', '/long', '/bytes', '/set', '/stream', '/stream-bytes', '/other'];

describe('a plain request is answered with the same bytes as by node:http', () => {
  test.each(paths)('%s', async (path) => {
    const before = pair.quick.quickRequests;
    const name = `answer${path}`;
    await compare(name, [Buffer.from(post(name, path, '{"a":"ä"}') + post(name, '/last', ''))]);
    expect(pair.quick.quickRequests - before).toBe(2);
    expect(pair.node.quickRequests).toBe(0);
  });

  test('a header that was set before has the value that is given last', async () => {
    // Where it stands is another place in each version of Node.
    const text = await exchange(pair.quick.port, [
      Buffer.from(post('replaced', '/replaced', '') + post('replaced', '/last', '')),
    ]);
    expect(text.match(/^x-a: .*$/gim)).toEqual(['x-a: late']);
  });

  test('many on one connection, in their order, also when they come at once', async () => {
    const name = 'at-once';
    const all = Array.from({ length: 40 }, (_, at) => post(name, paths[at % paths.length] ?? '/', `${at}`)).join('');
    await compare(name, [Buffer.from(all + post(name, '/last', ''))]);
  });

  test('in any pieces', async () => {
    const bytes = Buffer.from(post('pieces', '/json', '{"käse":1}') + post('pieces', '/last', ''));
    for (let at = 1; at < bytes.length; at += 23) {
      await compare('pieces', [bytes.subarray(0, at), bytes.subarray(at)]);
      pair.quick.seen.delete('pieces');
      pair.node.seen.delete('pieces');
    }
    await compare(
      'pieces',
      Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1)),
    );
  });

  test('and by node:http from the first request on that is not plain', async () => {
    const name = 'mixed';
    const chunked =
      `POST /json HTTP/1.1\r\nHost: a\r\nX-Case: ${name}\r\nTransfer-Encoding: chunked\r\n\r\n` +
      '3\r\nabc\r\n0\r\n\r\n';
    const all = [
      post(name, '/json', '1'),
      chunked,
      post(name, '/stream', '2'),
      `GET /json HTTP/1.1\r\nHost: a\r\nX-Case: ${name}\r\n\r\n`,
      post(name, '/last', ''),
    ];
    const before = pair.quick.quickRequests;
    await compare(name, [Buffer.from(all.join(''))]);
    expect(pair.quick.quickRequests - before).toBe(1);
    await compare(
      name,
      all.map((each) => Buffer.from(each)),
    );
  });

  test('when the client sends no more after it', async () => {
    const quickAnswer = await sendAndEnd(pair.quick.port, post('ends', '/json', '1') + post('ends', '/empty', '2'));
    expect(quickAnswer).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*HTTP\/1\.1 202 Accepted/);
  });
});

function sendAndEnd(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const got: Buffer[] = [];
    socket.on('data', (chunk) => got.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(got).toString('latin1')));
    socket.on('error', reject);
    socket.end(text);
  });
}

/** A whole request whose lines an attacker chose. `CASE` is where its name goes. */
const raw = (line: string, headers: readonly string[], body = ''): string =>
  `${line}\r\nX-Case: CASE\r\n${headers.map((each) => `${each}\r\n`).join('')}\r\n${body}`;
const withHead = (...headers: string[]): string =>
  raw('POST /json HTTP/1.1', ['Host: a', 'Content-Length: 3', ...headers], 'abc');
const withBody = (headers: readonly string[], body: string): string =>
  raw('POST /json HTTP/1.1', ['Host: a', ...headers], body);
const chunked = (body: string): string => withBody(['Transfer-Encoding: chunked'], body);

/** What is tried on the boundary between two requests, on targets, and on bounds. */
const attacks: Readonly<Record<string, string>> = {
  'length and chunked': withBody(['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
  'chunked and length': withBody(['Transfer-Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'),
  'a blank before the colon of Transfer-Encoding': withHead('Transfer-Encoding : chunked'),
  'a tab before the value of Transfer-Encoding': withHead('Transfer-Encoding:\tchunked'),
  'a vertical tab before the value': withHead('Transfer-Encoding: \u000bchunked'),
  'chunked in capitals': withBody(['TRANSFER-ENCODING: CHUNKED'], '3\r\nabc\r\n0\r\n\r\n'),
  identity: withHead('Transfer-Encoding: identity'),
  'chunked, identity': withBody(['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'),
  'chunked twice': withBody(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
  'chunked by an obsolete fold': withHead('X-A: b', ' Transfer-Encoding: chunked'),
  'two lengths that are one': withHead('Content-Length: 3'),
  'two lengths': withHead('Content-Length: 30'),
  'a list of lengths': withBody(['Content-Length: 3, 3'], 'abc'),
  'a length with a sign': withBody(['Content-Length: +3'], 'abc'),
  'a negative length': withBody(['Content-Length: -3'], 'abc'),
  'a length in hex': withBody(['Content-Length: 0x3'], 'abc'),
  'a length with a zero before it': withBody(['Content-Length: 03'], 'abc'),
  'a length with an exponent': withBody(['Content-Length: 3e0'], 'abc'),
  'a length beyond all numbers': withBody(['Content-Length: 99999999999999999999'], 'abc'),
  'a length of blanks': withBody(['Content-Length:   '], 'abc'),
  'no length': withBody([], ''),
  'a chunk with an extension': chunked('3;a=b\r\nabc\r\n0\r\n\r\n'),
  'a chunk size with a sign': chunked('+3\r\nabc\r\n0\r\n\r\n'),
  'a chunk size in 0x form': chunked('0x3\r\nabc\r\n0\r\n\r\n'),
  'a chunk size beyond all numbers': chunked('fffffffffffffffff\r\nabc\r\n0\r\n\r\n'),
  'a chunk that ends with LF': chunked('3\nabc\n0\n\n'),
  'a chunk longer than its size': chunked('2\r\nabc\r\n0\r\n\r\n'),
  'a trailer': chunked('3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n'),
  'lines that end with LF': withHead('X-B: c').replaceAll('\r\n', '\n'),
  'one line that ends with LF': withHead('X-B: c').replace('X-B: c\r\n', 'X-B: c\n'),
  'a bare CR in a value': withHead('X-B: c\rTransfer-Encoding: chunked'),
  'NUL in a value': withHead('X-B: c\u0000d'),
  'a line without a colon': withHead('X-B'),
  'a line with a blank first': withHead(' X-B: c'),
  'an empty name': withHead(': c'),
  'a blank in a name': withHead('X B: c'),
  'an absolute target': raw('POST http://evil.example/json HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'an authority as target': raw('POST evil.example:80 HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'a star as target': raw('POST * HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'two slashes': raw('POST //evil.example/json HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'a fragment': raw('POST /json#a HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'two blanks in the first line': raw('POST  /json HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'a tab in the first line': raw('POST\t/json HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'a method in small letters': raw('post /json HTTP/1.1', ['Host: a', 'Content-Length: 3'], 'abc'),
  'HTTP/1.0': raw('POST /json HTTP/1.0', ['Host: a', 'Content-Length: 3'], 'abc'),
  'HTTP/1.2': raw('POST /json HTTP/1.2', ['Host: a', 'Content-Length: 3'], 'abc'),
  'HTTP/2.0': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'no version': raw('POST /json', ['Host: a', 'Content-Length: 3'], 'abc'),
  CONNECT: raw('CONNECT evil.example:443 HTTP/1.1', ['Host: a']),
  'empty lines first': `\r\n\r\n${withHead()}`,
  'no Host': raw('POST /json HTTP/1.1', ['Content-Length: 3'], 'abc'),
  'an empty Host': raw('POST /json HTTP/1.1', ['Host: ', 'Content-Length: 3'], 'abc'),
  'two Hosts': withHead('Host: b'),
  'two keys': withHead('Authorization: Bearer one', 'authorization: Bearer two'),
  'two origins': withHead('Origin: https://one.example', 'Origin: https://two.example'),
  'names that every object has': withHead('constructor: a', 'toString: b', 'hasOwnProperty: c'),
  'a prototype': withHead('__proto__: a'),
  Expect: withHead('Expect: 100-continue'),
  'Expect of something else': withHead('Expect: 200-ok'),
  Upgrade: withHead('Connection: Upgrade', 'Upgrade: h2c'),
  'Connection that names a header': withHead('Connection: keep-alive, Authorization'),
  'Connection twice': withHead('Connection: keep-alive', 'Connection: close'),
  'TE and Trailer': withHead('TE: trailers', 'Trailer: X-B'),
  'a head just below what is read here': withHead(`X-B: ${'a'.repeat(8_000)}`),
  'a head beyond it': withHead(`X-B: ${'a'.repeat(9_000)}`),
  'a head beyond all bounds': withHead(`X-B: ${'a'.repeat(100_000)}`),
  'sixty headers': withHead(...Array.from({ length: 60 }, (_, at) => `X-${at}: a`)),
  'a thousand headers': withHead(...Array.from({ length: 1_000 }, (_, at) => `X-${at}: a`)),
  'a name of 64 characters': withHead(`${'X'.repeat(64)}: a`),
  'a name of 65 characters': withHead(`${'X'.repeat(65)}: a`),
  'a body beyond the cap': withBody(['Content-Length: 500001'], 'x'.repeat(500_001)),
};

describe('what an attacker sends is seen and answered as by node:http, and the connection is worth as much afterwards', () => {
  const inThree = (text: string): Buffer[] => {
    const [one, two] = [Math.floor(text.length * 0.4), Math.floor(text.length * 0.7)];
    return [text.slice(0, one), text.slice(one, two), text.slice(two)].map((each) => Buffer.from(each, 'latin1'));
  };
  const atOnce = (text: string): Buffer[] => [Buffer.from(text, 'latin1')];
  test.each([
    ['first, at once', '', atOnce],
    ['first, in pieces', '', inThree],
    ['behind a good request, at once', '/empty', atOnce],
    ['behind a good request, in pieces', '/empty', inThree],
  ])(
    '%s',
    async (how, before, cut) => {
      const wrong: string[] = [];
      await Promise.all(
        Object.entries(attacks).map(async ([title, text]) => {
          const name = `attack-${how}-${title}`.replaceAll(/[^a-z0-9]+/gi, '-');
          const good = before === '' ? '' : post(name, before, 'good');
          // Behind it, on the same connection, what must not be taken for part of it, nor the other way round.
          const pieces = cut(good + text.replaceAll('CASE', name) + post(name, '/last', '{"smuggled":1}'));
          const run = good === '' ? compare(name, pieces) : compareBroken(name, pieces);
          await run.catch((error: unknown) => wrong.push(`${title}: ${String(error)}`));
        }),
      );
      expect(wrong).toEqual([]);
    },
    60_000,
  );

  test.each([
    ['a body', 'POST /json HTTP/1.1\r\nHost: a\r\nX-Case: never\r\nContent-Length: 10\r\n\r\nabc'],
    ['a head', 'POST /json HTTP/1.1\r\nHost: a\r\nX-Case: never\r\nContent-Le'],
    ['a chunk', 'POST /json HTTP/1.1\r\nHost: a\r\nX-Case: never\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na'],
  ])('%s that never comes is given up in the same way', async (_what, text) => {
    await compare('never', [Buffer.from(text)]);
  });

  test('what is sent on while a call is being answered is taken up to a bound', async () => {
    const sockets: Socket[] = [];
    const hold: HttpHandler = ({ socket }) => void sockets.push(socket);
    const servers = createHttpServers(null, hold, createLog({ level: 'error' }), {}, {});
    const server = servers.create(false);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.start();
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
    try {
      client.write(post('held', '/json', '1'));
      await waitUntil(() => sockets.length === 1, 10_000, 'the call');
      client.write(post('held', '/json', 'x'.repeat(1_000)).repeat(20_000));
      await waitUntil(() => sockets[0]?.isPaused() === true, 10_000, 'the pause');
      const taken = sockets[0]?.bytesRead ?? 0;
      expect([taken > 131_072, taken < 131_072 + 131_072]).toEqual([true, true]);
      expect(sockets).toHaveLength(1);
    } finally {
      client.destroy();
      await servers.close(0);
    }
  });

  test('a client that ends its side behind a request that is not plain harms nothing', async () => {
    const text = post('ends-odd', '/json', '1') + `GET /json HTTP/1.1\r\nHost: a\r\nX-Case: ends-odd\r\n\r\n`;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => sendAndEnd(pair.quick.port, text).catch((error: Error) => error.message)),
    );
    for (const each of answers) expect(each).toMatch(/^HTTP\/1\.1 200 OK|ECONNRESET/);
    expect(await sendAndEnd(pair.quick.port, post('lives', '/json', '1'))).toMatch(/^HTTP\/1\.1 200 OK/);
  });
});

/** Numbers that are the same in every run (mulberry32). */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const oddLines = [
  '',
  'Connection: keep-alive\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive, x\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Content-Length: 3\r\n',
  'content-length:7\r\n',
  'Expect: 100-continue\r\n',
  'X-Case: other\r\n',
  'X-A:  two \r\n',
  'X-A: a\r\n b\r\n',
  'X_A: a\r\n',
  'X-A: \u00e4\r\n',
  ': a\r\n',
  'Host: b\r\n',
];
const oddBytes = [0, 9, 10, 13, 32, 58, 45, 48, 57, 65, 127, 195, 255];

/** Requests that are plain, nearly plain, or broken, in pieces. */
function oddCase(seed: number): Buffer[] {
  const next = numbersFrom(seed);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)] as T;
  const count = 1 + Math.floor(next() * 3);
  let text = '';
  for (let at = 0; at < count; at++) {
    text += post(`odd-${seed}`, pick(paths), 'x'.repeat(Math.floor(next() * 20)), next() < 0.6 ? '' : pick(oddLines));
  }
  const bytes = Buffer.from(text + post(`odd-${seed}`, '/last', ''), 'latin1');
  const changes = next() < 0.3 ? 0 : Math.floor(next() * 3);
  for (let at = 0; at < changes; at++) bytes[Math.floor(next() * bytes.length)] = pick(oddBytes);
  const cuts = Array.from({ length: Math.floor(next() * 3) }, () => Math.floor(next() * bytes.length));
  const ends = [...cuts.toSorted((one, other) => one - other), bytes.length];
  return ends.map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end)).filter((piece) => piece.length > 0);
}

/**
 * As `compare`, but where a broken request comes close behind good ones, node:http may refuse all of them at once, which depends on the
 * moment. What both see and answer before that is the same, and so is the refusal.
 */
async function compareBroken(name: string, pieces: readonly Buffer[]): Promise<void> {
  const { quick, node } = pair;
  const [ours, theirs] = await Promise.all([exchange(quick.port, pieces), exchange(node.port, pieces)]);
  const [weSaw = [], theySaw = []] = [quick.seen.get(name), node.seen.get(name)];
  const both = Math.min(weSaw.length, theySaw.length);
  expect(weSaw.slice(0, both), name).toEqual(theySaw.slice(0, both));
  const [ourAnswers, ourRefusal] = cutRefusal(ours);
  const [theirAnswers, theirRefusal] = cutRefusal(theirs);
  if (theirRefusal === '' && ourRefusal === '' && theirs !== '') expect(ours).toBe(theirs);
  const isPart = ourAnswers.startsWith(theirAnswers) || theirAnswers.startsWith(ourAnswers);
  expect(isPart, `${name}: ${ours} and not ${theirs}`).toBe(true);
}

/** The answers, and the refusal of what is no HTTP, or too much or too late of it, if it ends with one. */
function cutRefusal(text: string): [string, string] {
  const at = Math.max(...[400, 408, 431].map((status) => text.lastIndexOf(`HTTP/1.1 ${status} `)));
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at)];
}

test('and 600 requests that are odd, broken or in pieces are answered and seen as by node:http', async () => {
  const seeds = Array.from({ length: 600 }, (_, at) => at + 1);
  const before = pair.quick.quickRequests;
  for (let at = 0; at < seeds.length; at += 100) {
    await Promise.all(seeds.slice(at, at + 100).map((seed) => compareBroken(`odd-${seed}`, oddCase(seed))));
  }
  // Both ways were taken, or this would prove nothing.
  expect(pair.quick.quickRequests - before).toBeGreaterThan(300);
}, 60_000);
