import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createFetch } from '../../src/doctor/probes/https-fetch.ts';
import { runDoctor } from '../../src/doctor/run-doctor.ts';
import { repository } from '../helpers/cli.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Servers that nobody here wrote: what doctor says of them was checked by hand and is pinned. */
let child: ChildProcess | null = null;

afterEach(async () => {
  if (child === null || child.exitCode !== null) return;
  const ended = new Promise((resolve) => child?.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('server-everything over HTTP: fine but for three things that are true', async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/mcp`;
  const entry = join(repository, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
  child = spawn(process.execPath, [entry, 'streamableHttp'], {
    env: { ...process.env, PORT: String(port) },
    stdio: 'ignore',
  });
  const fetch = createFetch({ caPem: null, timeoutMs: 1_000 });
  await waitUntil(
    () =>
      fetch(url).then(
        () => true,
        () => false,
      ),
    20_000,
    'server-everything listens',
  );

  const report = await runDoctor({
    url,
    caPem: null,
    key: null,
    own: null,
    limits: true,
    signal: new AbortController().signal,
    onProgress: () => {},
  });

  // By hand: curl with a made-up mcp-session-id gets 400 "No valid session ID provided"; with -H 'Host: evil.example' it
  // answers all the same; 1,000 calls are all answered.
  expect(report.findings).toMatchObject([
    {
      code: 'protocol/unknown-session',
      severity: 'error',
      hop: 'server',
      title: 'an unknown session is answered with 400',
    },
    { code: 'http/host-refused', severity: 'warning', title: 'any Host name is answered' },
    { code: 'limits/answers-429', severity: 'warning', title: 'no limit in 195 calls' },
  ]);
  expect(report.rootCause).toBe('protocol/unknown-session');
  const passed = Object.fromEntries(report.passed.map(({ code, detail }) => [code, detail]));
  expect(passed).toMatchObject({
    'protocol/legacy': 'legacy 2025-11-25',
    'protocol/modern': 'modern clients fall back',
  });
  expect(passed['tools/list']).toMatch(/^\d+ tools$/);
  expect(passed['tools/call']).toMatch(/^echo \d+ ms$/);
  expect(report.notChecked.filter(({ kind }) => kind === 'unknown')).toEqual([]);
});
