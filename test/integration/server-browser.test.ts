import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { echoBackend } from '../helpers/fake-backend.ts';
import { firstKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

/** Pages without anything on them, on two ports: two origins. */
function servePages(): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((_req, res) =>
      res.writeHead(200, { 'content-type': 'text/html' }).end('<title>p</title>'),
    );
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

const originOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

let servers: Server[] = [];
let rig: ServerRig | null = null;
let browser: Browser | null = null;

beforeAll(async () => {
  const executablePath = findProgram('chromium');
  if (executablePath === null) return;
  servers = [await servePages(), await servePages()];
  rig = await startRig({
    backends: [echoBackend()],
    server: { allowedOrigins: [originOf(servers[0] as Server)], keepAliveSeconds: 1 },
    limits: { perKey: { requests: 5, windowSeconds: 3_600, burst: 5 } },
  });
  browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--no-first-run',
      '--disable-dev-shm-usage',
    ],
  });
}, 60_000);
afterAll(async () => {
  await browser?.close();
  await rig?.stop();
  for (const server of servers) server.close();
});

/** What a page at this place sees of one request; its body up to a limit, since a stream does not end. */
interface Seen {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: string;
  readonly failed?: string;
}

async function openPage(at: number): Promise<Page> {
  if (browser === null) throw new Error('there is no browser');
  const page = await browser.newPage();
  await page.goto(originOf(servers[at] as Server));
  return page;
}

/** Runs in the page: reads until `until` has come, or the end. */
function ask(
  page: Page,
  init: { method: string; headers: Record<string, string>; body?: string },
  until: string | null = null,
): Promise<Seen> {
  return page.evaluate(
    async ([url, request, wanted]) => {
      try {
        const answer = await fetch(url, request);
        const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
        let body = '';
        for (;;) {
          if (reader === undefined || (wanted !== null && body.includes(wanted))) break;
          const { done, value } = await reader.read();
          if (done) break;
          body += value;
        }
        await reader?.cancel();
        const names = ['mcp-session-id', 'x-request-id', 'retry-after', 'www-authenticate', 'ratelimit', 'server'];
        const headers = Object.fromEntries(names.map((name) => [name, answer.headers.get(name)]));
        return { status: answer.status, headers, body };
      } catch (error) {
        return { failed: String(error) };
      }
    },
    [rig?.url ?? '', init, until] as const,
  );
}

const json = {
  authorization: `Bearer ${firstKey}`,
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};
const post = (message: unknown, headers: Record<string, string> = {}) => ({
  method: 'POST',
  headers: { ...json, ...headers },
  body: JSON.stringify(message),
});
const initialize = post({
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'page', version: '1' } },
});
const modernCall = (method: string, params: Record<string, unknown>, headers: Record<string, string>) =>
  post(
    {
      jsonrpc: '2.0',
      id: 1,
      method,
      params: {
        ...params,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': '2026-07-28',
          'io.modelcontextprotocol/clientCapabilities': {},
          'io.modelcontextprotocol/clientInfo': { name: 'page', version: '1' },
        },
      },
    },
    { 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...headers },
  );

describe('in a real browser', () => {
  testWithTools(
    ['chromium'],
    'a page of an allowed origin initialises, calls and reads a stream (legacy era)',
    async () => {
      const page = await openPage(0);
      const hello = await ask(page, initialize);
      expect(hello.status).toBe(200);
      const session = hello.headers?.['mcp-session-id'] ?? '';
      expect(session).not.toBe('');
      const inSession = { 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' };
      const call = {
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'echo', arguments: { message: 'from a page' } },
      };
      expect((await ask(page, post(call, inSession))).body).toContain('from a page');
      const stream = await ask(
        page,
        { method: 'GET', headers: { ...json, accept: 'text/event-stream', ...inSession } },
        ':',
      );
      expect(stream.status).toBe(200);
      expect(stream.body).toContain(':');
      const lastSeen = { ...inSession, 'last-event-id': '0_1', accept: 'text/event-stream', traceparent: '00-1-1-01' };
      expect((await ask(page, { method: 'GET', headers: { ...json, ...lastSeen } }, ':')).status).toBe(200);
      expect((await ask(page, { method: 'DELETE', headers: { ...json, ...inSession } })).status).toBe(204);
      await page.close();
    },
    60_000,
  );

  testWithTools(
    ['chromium'],
    'a page of an allowed origin discovers, calls and reads a stream (modern era)',
    async () => {
      const page = await openPage(0);
      expect((await ask(page, modernCall('server/discover', {}, {}))).body).toContain('2026-07-28');
      const call = modernCall('tools/call', { name: 'echo', arguments: { message: 'modern' } }, { 'mcp-name': 'echo' });
      expect((await ask(page, call)).body).toContain('modern');
      const listen = modernCall('subscriptions/listen', { notifications: { toolsListChanged: true } }, {});
      const stream = await ask(page, listen, 'acknowledged');
      expect(stream).toMatchObject({ status: 200 });
      // Over the limit the page can read what it was told.
      let limited = await ask(page, call);
      for (let more = 0; more < 5 && limited.status === 200; more++) limited = await ask(page, call);
      expect(limited.status).toBe(429);
      expect(limited.headers?.['retry-after']).toMatch(/^\d+$/);
      expect(limited.headers?.['ratelimit']).not.toBeNull();
      const wrong = await ask(page, { ...call, headers: { ...call.headers, authorization: 'Bearer wrong' } });
      expect(wrong.status).toBe(401);
      expect(wrong.headers?.['www-authenticate']).toContain('Bearer');
      expect(wrong.headers?.['x-request-id']).not.toBeNull();
      await page.close();
    },
    60_000,
  );

  testWithTools(
    ['chromium'],
    'a page of another origin gets nothing at all',
    async () => {
      const page = await openPage(1);
      expect(await ask(page, initialize)).toEqual({ failed: expect.stringContaining('Failed to fetch') });
      expect(await ask(page, modernCall('tools/list', {}, {}))).toEqual({ failed: expect.any(String) });
      // Also what needs no preflight.
      const simple = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' };
      expect(await ask(page, simple)).toEqual({ failed: expect.any(String) });
      await page.close();
    },
    60_000,
  );
});
