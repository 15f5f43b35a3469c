import { connect, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send, sendEmpty, sendJson } from '../../src/server/http/answers.ts';
import type { HttpHandler } from '../../src/server/http/http-message.ts';
import { createHttpServers, type HttpServers } from '../../src/server/http/http-servers.ts';
import { QuickRequest } from '../../src/server/http/quick/quick-request.ts';
import { BodyBudget, readBody } from '../../src/server/http/read-body.ts';
import { UnreadBytes } from '../../src/server/http/unread-bytes.ts';
import { createLog } from '../../src/server/observe/log.ts';

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
async function compareOdd(seed: number): Promise<void> {
  const { quick, node } = pair;
  const pieces = oddCase(seed);
  const [ours, theirs] = await Promise.all([exchange(quick.port, pieces), exchange(node.port, pieces)]);
  const [weSaw = [], theySaw = []] = [quick.seen.get(`odd-${seed}`), node.seen.get(`odd-${seed}`)];
  const both = Math.min(weSaw.length, theySaw.length);
  expect(weSaw.slice(0, both), `seed ${seed}`).toEqual(theySaw.slice(0, both));
  const [ourAnswers, ourRefusal] = cutRefusal(ours);
  const [theirAnswers, theirRefusal] = cutRefusal(theirs);
  if (theirRefusal === '' && ourRefusal === '') expect(ours).toBe(theirs);
  const isPart = ourAnswers.startsWith(theirAnswers) || theirAnswers.startsWith(ourAnswers);
  expect(isPart, `seed ${seed}: ${ours} and not ${theirs}`).toBe(true);
}

/** The answers, and the refusal of what is no HTTP if it ends with one. */
function cutRefusal(text: string): [string, string] {
  const at = text.lastIndexOf('HTTP/1.1 400 ');
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at)];
}

test('and 600 requests that are odd, broken or in pieces are answered and seen as by node:http', async () => {
  const seeds = Array.from({ length: 600 }, (_, at) => at + 1);
  const before = pair.quick.quickRequests;
  for (let at = 0; at < seeds.length; at += 100) {
    await Promise.all(seeds.slice(at, at + 100).map(compareOdd));
  }
  // Both ways were taken, or this would prove nothing.
  expect(pair.quick.quickRequests - before).toBeGreaterThan(300);
}, 60_000);
