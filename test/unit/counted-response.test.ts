import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { countedResponse } from '../../src/server/http/counted-response.ts';
import { UnreadBytes } from '../../src/server/http/unread-bytes.ts';

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/** Everything that comes back for these bytes, once the server has closed the connection. */
async function exchange(handler: RequestListener, bytes: string): Promise<string> {
  const unread = new UnreadBytes(1_000_000, { readerCut() {} });
  const server = createServer({ ServerResponse: countedResponse(unread) }, handler);
  server.on('connection', (socket) => unread.watch(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const socket = connect(port, '127.0.0.1');
  cleanUps.push(
    () => socket.destroy(),
    () => server.close(),
    () => unread.close(),
  );
  let received = '';
  socket.setEncoding('utf8').on('data', (text) => (received += String(text)));
  socket.write(bytes);
  await once(socket, 'end');
  return received;
}

const get = (path: string, last = false): string =>
  `GET ${path} HTTP/1.1\r\nhost: a\r\n${last ? 'connection: close\r\n' : ''}\r\n`;
const bodies = (received: string): string[] => received.split(/HTTP\/1\.1 200[^]*?\r\n\r\n/).slice(1);

test.each([
  ['a text beyond Latin-1', '→ ünïcode 🎈', '→ ünïcode 🎈'],
  ['bytes', Buffer.from('→'), '→'],
  ['nothing', '', ''],
])('%s arrives as it was given', async (_title, body, expected) => {
  const received = await exchange(
    (_req, res) => {
      res.writeHead(200, { 'content-length': Buffer.byteLength(body) });
      res.end(body);
    },
    get('/', true),
  );
  expect(bodies(received)).toEqual([expected]);
});

test('answers to requests that came at once keep their order, also when the first is ready last', async () => {
  const received = await exchange(
    ({ url = '' }, res) => {
      const answer = (): void => {
        res.writeHead(200, { 'content-length': url.length });
        res.end(url);
      };
      if (url === '/first') setTimeout(answer, 20);
      else answer();
    },
    get('/first') + get('/second') + get('/third', true),
  );
  expect(bodies(received)).toEqual(['/first', '/second', '/third']);
});

test('HEAD gets no body, and what is written bit by bit arrives before its end', async () => {
  const head = await exchange(
    (_req, res) => void res.writeHead(200, { 'content-length': 3 }).end('abc'),
    get('/', true).replace('GET', 'HEAD'),
  );
  expect(bodies(head)).toEqual(['']);
  const streamed = await exchange(
    (_req, res) => {
      res.writeHead(200, { 'transfer-encoding': 'chunked' });
      res.write('one ');
      res.end('two');
    },
    get('/', true),
  );
  expect(bodies(streamed)).toEqual(['4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n']);
  const chunkedWhole = await exchange(
    (_req, res) => void res.writeHead(200, { 'transfer-encoding': 'chunked' }).end('whole'),
    get('/', true),
  );
  expect(bodies(chunkedWhole)).toEqual(['5\r\nwhole\r\n0\r\n\r\n']);
});
