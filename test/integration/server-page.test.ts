import { rootCertificates } from 'node:tls';
import axe from 'axe-core';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clients, clientSnippet } from '../../src/clients/index.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { isPubliclyIssued } from '../../src/server/page/is-publicly-issued.ts';
import { echoBackend } from '../helpers/fake-backend.ts';
import { firstKey, secondKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

/** A person's browser. */
const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
/** Of another machine, as far as the server can tell: what a proxy passed on is never local. */
const fromElsewhere = { 'x-forwarded-for': '203.0.113.9' };

let rig: ServerRig | null = null;
let browser: Browser | null = null;

beforeAll(async () => {
  rig = await startRig({
    tls: true,
    server: {
      page: true,
      aliases: ['/message'],
      upstreams: {
        secrets: {
          command: 'canary-command',
          args: ['--token', 'canary-argument'],
          env: { TOKEN: 'canary-environment' },
        },
        far: { url: 'https://canary-host.example/mcp', headers: { 'x-secret': 'canary-header' } },
      },
    },
    backends: [echoBackend()],
  });
  const executablePath = findProgram('chromium');
  if (executablePath === null) return;
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
});

function server(): ServerRig {
  if (rig === null) throw new Error('there is no server');
  return rig;
}

describe('who is shown the page', () => {
  test.each(['/', '/?from=mail', '/mcp', '/mcp/', '/message'])(
    'a browser at %s gets it, and nothing else runs in it',
    async (path) => {
      const answer = await server().call({ path, headers: html });
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toBe('text/html; charset=utf-8');
      const policy = String(answer.headers['content-security-policy']);
      expect(policy).toMatch(/^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; /);
      for (const part of ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "connect-src 'self'"]) {
        expect(policy).toContain(part);
      }
      expect(policy).not.toContain('unsafe');
      expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
      expect(answer.body).not.toMatch(/ style=| on[a-z]+="|<link[^>]*href="(?!data:)|src="/);
    },
  );

  test.each([
    ['an event stream', { accept: 'text/event-stream' }],
    ['an event stream, and HTML too', { accept: 'text/html, text/event-stream' }],
    ['anything', { accept: '*/*' }],
    ['JSON', { accept: 'application/json' }],
    ['HTML with a key', { ...html, authorization: `Bearer ${firstKey}` }],
    ['HTML in a session', { ...html, 'mcp-session-id': 'abc' }],
    ['HTML in a revision', { ...html, 'mcp-protocol-version': '2025-11-25' }],
  ])('who asks for %s never gets HTML', async (_what, headers) => {
    for (const path of ['/', '/mcp', '/message']) {
      const answer = await server().call({ path, headers });
      expect(answer.headers['content-type'] ?? '').not.toContain('html');
      expect(answer.body).not.toContain('<html');
    }
  });

  test('a POST is a call, whatever it accepts', async () => {
    const answer = await server().call({ path: '/', method: 'POST', headers: html });
    expect(answer.status).toBe(404);
    const call = await server().call({ method: 'POST', headers: { ...html, 'content-type': 'application/json' } });
    expect(call.status).toBe(401);
  });

  test('a foreign name and a foreign origin are refused', async () => {
    for (const path of ['/', '/mcp']) {
      const answers = [
        await server().call({ path, headers: { ...html, host: 'rebound.example' } }),
        await server().call({ path, headers: { ...html, origin: 'https://elsewhere.example' } }),
      ];
      for (const { status, body } of answers) {
        expect(status).toBe(403);
        expect(body).not.toContain('<html');
      }
    }
  });

  test('without server.page there is none', async () => {
    const plain = await startRig({ backends: [echoBackend()] });
    expect((await plain.call({ path: '/', headers: html })).status).toBe(404);
    expect((await plain.call({ path: '/mcp', headers: html })).status).toBe(401);
    await plain.stop();
  });
});

test('no byte of the page or its headers is a secret, a command, a place of an upstream or the version', async () => {
  const answers = await Promise.all(
    ['/', '/mcp']
      .flatMap((path) => [html, { ...html, ...fromElsewhere }].map((headers) => ({ path, headers })))
      .map((call) => server().call(call)),
  );
  for (const { body, headers } of answers) {
    const all = body + JSON.stringify(headers);
    expect(all).not.toContain('canary');
    expect(all).not.toContain(firstKey);
    expect(all).not.toContain(secondKey);
    expect(all).not.toContain('9.9.9');
    expect(all).not.toContain(server().folder);
  }
});

test('the texts to copy are those of mcp-deploy client print', async () => {
  const { body } = await server().call({ path: '/', headers: html });
  const decoded = body.replace(/&#(\d+);/g, (_all, code: string) => String.fromCharCode(Number(code)));
  for (const { id } of clients) {
    const options = {
      name: 'mcp',
      url: server().url,
      keyFile: './mcp.key',
      caFile: './mcp-ca.crt',
      keyVariable: 'MCP_KEY',
    };
    expect(decoded).toContain(clientSnippet(id, options).text.trimEnd());
  }
});

test('clients are told to trust an authority that nobody knows, whichever way the certificate came', async () => {
  const { body } = await server().call({ path: '/', headers: html });
  expect(body).toContain('is from a private authority');
  const ca = await issuePrivateCa({ commonName: 'mine', names: ['localhost'] });
  const leaf = await issueCertificate({ ca, names: ['localhost'], validDays: 30 });
  expect(isPubliclyIssued(leaf.certificatePem)).toBe(false);
  expect(isPubliclyIssued('')).toBe(false);
  // What one of Node's own roots has issued: the root itself.
  expect(isPubliclyIssued(`${leaf.certificatePem}\n${rootCertificates[0] ?? ''}`)).toBe(true);
});

test('a name that comes with the request is written as text', async () => {
  const open = await startRig({ server: { page: true, allowedHosts: ['*.example.com'] }, backends: [echoBackend()] });
  const { body } = await open.call({ path: '/', headers: { ...html, host: 'a.example.com:8443' } });
  expect(body).toContain('http://a.example.com:8443/mcp');
  const odd = await open.call({ path: '/', headers: { ...html, host: 'a.example.com:99999' } });
  expect(odd.status).toBe(400);
  await open.stop();
});

/** What went wrong in the page while it was open; a browser tells of refused content on its console. */
interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly wrong: string[];
}

async function visit(options: BrowserContextOptions & { local?: boolean } = {}): Promise<Visit> {
  if (browser === null) throw new Error('there is no browser');
  const { local = false, ...rest } = options;
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    ...(local ? {} : { extraHTTPHeaders: fromElsewhere }),
    ...rest,
  });
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('console', (message) => {
    // An answer of 401 is told there too.
    if (message.type() === 'error' && !message.text().includes('status of 4')) wrong.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith('data:') && new URL(request.url()).origin !== server().origin) {
      wrong.push(`asked for ${request.url()}`);
    }
    if (request.url().includes(firstKey)) wrong.push('the key is in a URL');
  });
  await page.goto(`${server().origin}/`);
  return { context, page, wrong };
}

const call = (id: number) =>
  server().post({
    jsonrpc: '2.0',
    id,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
  });

const calls = async (page: Page): Promise<number> => Number(await page.textContent('#card-requests'));

describe('in a real browser', () => {
  testWithTools(
    ['chromium'],
    'each text is copied as it is',
    async () => {
      const { context, page, wrong } = await visit();
      await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server().origin });
      await page.click('[data-copies="address"]');
      await page.waitForSelector('[data-copies="address"]:text-is("Copied")');
      expect(await page.evaluate('navigator.clipboard.readText()')).toBe(server().url);
      await page.click('summary:has-text("Cursor")');
      await page.click('[data-copies="for-cursor"]');
      await page.waitForSelector('[data-copies="for-cursor"]:text-is("Copied")');
      const copied = await page.evaluate('navigator.clipboard.readText()');
      expect(JSON.parse(String(copied))).toMatchObject({ mcpServers: { mcp: { url: server().url } } });
      expect(await page.textContent('#copied')).toBe('Copied.');
      expect(wrong).toEqual([]);
      await context.close();
    },
    60_000,
  );

  testWithTools(
    ['chromium'],
    'with a key the numbers move while calls are made, and the key stays in memory',
    async () => {
      const { context, page, wrong } = await visit();
      await page.fill('#key', firstKey);
      await page.press('#key', 'Enter');
      await page.waitForSelector('#card-requests');
      const before = await calls(page);
      for (let id = 0; id < 20; id++) await call(id);
      await expect.poll(() => calls(page), { timeout: 30_000 }).toBeGreaterThanOrEqual(before + 20);
      expect(Number(await page.textContent('#card-sessions'))).toBeGreaterThanOrEqual(20);
      expect(await page.textContent('#card-p95')).toMatch(/^[\d.]+ ms$|^[\d.]+ s$/);
      expect(await page.textContent('#card-rate')).toMatch(/^\d/);
      expect(await page.getAttribute('#chart-line', 'd')).toContain('M');
      expect(await page.textContent('#upstreams')).toContain('up');
      expect(await page.textContent('#certificate')).toMatch(/^9 days left|^10 days left/);
      const kept = await page.evaluate(
        '[localStorage.length, sessionStorage.length, document.cookie, location.href, document.documentElement.outerHTML]',
      );
      const [local, session, cookies, ...texts] = kept as unknown[];
      expect({ local, session, cookies }).toEqual({ local: 0, session: 0, cookies: '' });
      expect(texts.join('')).not.toContain(firstKey);
      await page.click('#stop');
      expect(await page.isHidden('#numbers')).toBe(true);
      expect(await page.inputValue('#key')).toBe('');
      expect(wrong).toEqual([]);
      await context.close();
    },
    60_000,
  );

  testWithTools(
    ['chromium'],
    'a wrong key is said, and too many of them make the address wait',
    async () => {
      const { context, page, wrong } = await visit({ extraHTTPHeaders: { 'x-forwarded-for': '203.0.113.77' } });
      const said = async (): Promise<string> => (await page.textContent('#said')) ?? '';
      let last = '';
      for (let guess = 0; guess < 40 && !last.includes('Too many'); guess++) {
        await page.fill('#key', `wrong-key-${guess}`);
        await page.click('#watch');
        await expect.poll(said, { timeout: 30_000 }).toMatch(/accepted|Too many/);
        last = await said();
        if (guess === 0) expect(last).toContain('This key is not accepted.');
        expect(await page.isHidden('#numbers')).toBe(true);
        await page.evaluate("document.querySelector('#said').replaceChildren()");
      }
      expect(last).toMatch(/^Too many wrong keys came from this address\. Try again in \d+ /);
      expect(wrong).toEqual([]);
      await context.close();
    },
    60_000,
  );

  testWithTools(
    ['chromium'],
    'without JavaScript the static part is whole: no dead button, no dead form',
    async () => {
      const { context, page } = await visit({ javaScriptEnabled: false });
      expect(await page.isVisible('h1')).toBe(true);
      expect(await page.isVisible('#for-claude-code')).toBe(true);
      await page.click('summary:has-text("Zed")');
      expect(await page.isVisible('#for-zed')).toBe(true);
      expect(await page.locator('button:visible, input:visible').count()).toBe(0);
      expect(await page.textContent('#health')).toContain('Ready');
      await context.close();
    },
    60_000,
  );

  testWithTools(
    ['chromium'],
    'axe finds nothing in light, dark and narrow, nothing is cut off, and everything is reached by keyboard',
    async () => {
      const { context, page, wrong } = await visit();
      await page.fill('#key', firstKey);
      await page.press('#key', 'Enter');
      await page.waitForSelector('#upstreams tr');
      // Opened from the keyboard alone.
      await page.focus('summary:has-text("Windsurf")');
      await page.keyboard.press('Enter');
      expect(await page.isVisible('#for-windsurf')).toBe(true);
      expect(wrong).toEqual([]);
      const looks = [
        { width: 1_100, colorScheme: 'light' },
        { width: 1_100, colorScheme: 'dark' },
        { width: 320, colorScheme: 'dark' },
        { width: 320, colorScheme: 'light' },
      ] as const;
      for (const { width, colorScheme } of looks) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 900 });
        // Through the debugger: the policy of the page lets no other script in.
        const found = await page.evaluate(
          `(() => { ${axe.source}; return axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' | '))); })()`,
        );
        expect({ width, colorScheme, found }).toEqual({ width, colorScheme, found: [] });
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
      }
      await context.close();
    },
    60_000,
  );

  testWithTools(
    ['chromium'],
    'on the machine of the server the numbers need no key',
    async () => {
      const { context, page, wrong } = await visit({ local: true });
      await page.waitForSelector('#card-requests');
      expect(await page.locator('#key').count()).toBe(0);
      expect(wrong).toEqual([]);
      await context.close();
    },
    60_000,
  );
});
