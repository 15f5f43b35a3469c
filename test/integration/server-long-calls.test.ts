import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createFakeBackend } from '../helpers/fake-backend.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts, startNginx } from '../helpers/proxy-rig.ts';
import { readEvents } from '../helpers/read-events.ts';
import { firstKey, modernRequest, startRig } from '../helpers/server-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// Ten minutes through a proxy that gives up after sixty seconds of silence, at a thirtieth of all times: the proxy
// gives up after 2 s, keep-alive comments come every 0.5 s (15 s), an answer becomes a stream after 0.17 s (5 s).
const proxySeconds = 2;
const keepAliveSeconds = 0.5;
const upgradeAfterMs = 170;
/** Four times what the proxy allows. */
const silenceMs = 8_000;

const tool = { name: 'slow', arguments: {} };
const result = '{"content":[{"type":"text","text":"late, but there"}]}';

testWithTools(
  ['nginx'],
  'a call and an idle stream outlast the time-out of a real nginx, which cuts an answer that is silent',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mcpd-long-'));
    const [port = 0] = await freePorts(1);
    const backend = createFakeBackend();
    const rig = await startRig({ backends: [backend], upgradeAfterMs, server: { keepAliveSeconds } });
    const site = join(folder, 'site');
    writeFileSync(site, siteFor(port, new URL(rig.url).port));
    const place = join(folder, 'nginx');
    mkdirSync(place);
    const nginx = await startNginx(site, place, [port]);
    try {
      const url = `http://127.0.0.1:${port}/mcp`;
      const headers = { authorization: `Bearer ${firstKey}`, host: new URL(rig.url).host };
      const session = { ...headers, 'mcp-session-id': await rig.initialize() };
      const json = { 'content-type': 'application/json' };
      const both = { ...json, accept: 'application/json, text/event-stream' };

      const idle = await readEvents({ url, headers: session });
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: tool });
      const legacy = await readEvents({ url, method: 'POST', headers: { ...session, ...both }, body });
      const { message, headers: own } = modernRequest(2, 'tools/call', tool);
      const modern = await readEvents({
        url,
        method: 'POST',
        headers: { ...headers, ...both, ...own },
        body: JSON.stringify(message),
      });
      // This client takes no stream, so nothing can be said to the proxy: without comments it does cut.
      const silent = callHttp({
        url,
        method: 'POST',
        headers: { ...session, ...json, accept: 'application/json' },
        body: body.replace('"id":1', '"id":3'),
      });
      const startedAt = performance.now();
      expect((await silent).status).toBe(504);
      await waitUntil(() => performance.now() - startedAt > silenceMs, silenceMs * 2);

      expect([idle.ended, legacy.ended, modern.ended]).toEqual([false, false, false]);
      for (const call of backend.open) call.onResult(result);
      expect((await legacy.take(1))[0]?.data).toMatchObject({ id: 1, result: JSON.parse(result) as object });
      expect((await modern.take(1))[0]?.data).toMatchObject({ id: 2, result: JSON.parse(result) as object });
      expect(idle.comments.filter((comment) => comment === 'keep-alive').length).toBeGreaterThan(4);
      idle.close();
    } finally {
      await nginx.stop();
      await rig.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
  60_000,
);

function siteFor(port: number, upstreamPort: string): string {
  return `server {
  listen 127.0.0.1:${port};
  location / {
    proxy_pass http://127.0.0.1:${upstreamPort};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_read_timeout ${proxySeconds}s;
  }
}
`;
}
