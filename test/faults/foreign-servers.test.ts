import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runDoctor } from '../../src/doctor/run-doctor.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { createFetch } from '../../src/doctor/probes/https-fetch.ts';
import { repository } from '../helpers/cli.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { inShort } from './laboratory.ts';

/** Servers and bridges that nobody here wrote, installed by `npm ci` in bench/peers. */
const peers = join(repository, 'bench/peers');
const echo = join(repository, 'bench/servers/echo-stdio.mjs');
const installed = existsSync(join(peers, 'node_modules/.bin/supergateway'));
const children: ChildProcess[] = [];

afterAll(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // A bridge starts children of its own: the group goes as a whole.
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await ended;
  }
});

interface Foreign {
  readonly name: string;
  readonly argv: (port: string) => readonly string[];
  readonly root: string | null;
  /** Code and severity, in the order of the report: each was checked by hand against what the server does. */
  readonly findings: readonly string[];
  readonly passed: readonly string[];
}

const servers: readonly Foreign[] = [
  {
    name: 'an SDK 2.x server, mounted as its examples do',
    argv: (port) => [join(peers, 'sdk2.mjs'), port],
    root: null,
    // curl with Origin: https://evil.example, and with Host: evil.example, gets the same answer as without.
    findings: ['warning http/origin-refused', 'warning http/host-refused'],
    passed: ['protocol/modern', 'tools/call'],
  },
  {
    name: 'fastmcp',
    argv: (port) => [join(peers, 'fastmcp.mjs'), port],
    root: null,
    // The same for Host; pages of every origin are let in on purpose (Access-Control-Allow-Origin: *), but their DELETE, which ends a
    // session, is not: curl -X OPTIONS has Access-Control-Allow-Methods: GET, POST, OPTIONS.
    findings: ['warning cors/methods', 'warning http/host-refused'],
    passed: ['protocol/legacy', 'protocol/unknown-session', 'session/kept', 'session/parallel', 'tools/call'],
  },
  {
    name: 'mcp-proxy around a program',
    argv: (port) => [
      join(peers, 'node_modules/.bin/mcp-proxy'),
      '--host',
      '127.0.0.1',
      '--port',
      port,
      '--server',
      'stream',
      '--',
      process.execPath,
      echo,
    ],
    root: null,
    findings: ['warning cors/methods', 'warning http/host-refused'],
    passed: ['protocol/legacy', 'protocol/unknown-session', 'session/kept', 'session/parallel', 'tools/call'],
  },
  {
    name: 'supergateway with sessions around a program',
    argv: (port) => [
      join(peers, 'node_modules/.bin/supergateway'),
      '--stdio',
      `${process.execPath} ${echo}`,
      '--outputTransport',
      'streamableHttp',
      '--stateful',
      '--port',
      port,
      '--logLevel',
      'none',
    ],
    root: null,
    // Its body parser takes 100 KB and answers with the page of Express, also to a body that is cut off.
    findings: [
      'warning sizes/body',
      'warning http/errors-json',
      'warning http/origin-refused',
      'warning http/host-refused',
    ],
    passed: ['protocol/legacy', 'protocol/unknown-session', 'session/kept', 'session/parallel', 'tools/call'],
  },
  {
    name: 'supergateway around a program that does not start',
    argv: (port) => [
      join(peers, 'node_modules/.bin/supergateway'),
      '--stdio',
      `${process.execPath} ${echo}.missing`,
      '--outputTransport',
      'streamableHttp',
      '--stateful',
      '--port',
      port,
      '--logLevel',
      'none',
    ],
    root: 'protocol/legacy',
    // initialize is answered with 200 and "MCP server process failed".
    findings: [
      'error protocol/legacy',
      'warning sizes/body',
      'warning http/errors-json',
      'warning http/origin-refused',
      'warning http/host-refused',
    ],
    passed: [],
  },
];

describe('what doctor says of servers that nobody here wrote is true', () => {
  if (!installed && process.env['REQUIRE_TOOLS'] !== '1') {
    test.skip('needs npm ci in bench/peers', () => {});
    return;
  }
  test.each(servers.map((each) => [each.name, each] as const))(
    '%s',
    async (_, { argv, root, findings, passed }) => {
      if (!installed) throw new Error('REQUIRE_TOOLS=1 and not installed: npm ci in bench/peers');
      const report = await diagnose(argv);
      expect(
        report.findings.map(({ code, severity }) => `${severity} ${code}`),
        inShort(report),
      ).toEqual(findings);
      expect(report.rootCause).toBe(root);
      expect(report.passed.map(({ code }) => code)).toEqual(expect.arrayContaining([...passed]));
    },
    120_000,
  );
});

async function diagnose(argv: Foreign['argv']): Promise<DoctorReport> {
  const [port = 0] = await freePorts(1);
  const child = spawn(process.execPath, argv(String(port)), { cwd: peers, stdio: 'ignore', detached: true });
  children.push(child);
  const url = `http://127.0.0.1:${port}/mcp`;
  const fetch = createFetch({ caPem: null, timeoutMs: 2_000 });
  await waitUntil(
    () =>
      fetch(url).then(
        () => true,
        () => false,
      ),
    60_000,
    `a server listens on ${port}`,
  );
  fetch.close();
  return runDoctor({
    url,
    caPem: null,
    key: null,
    own: null,
    limits: false,
    signal: new AbortController().signal,
    onProgress: () => {},
    patience: { answerMs: 8_000, lookMs: 30_000 },
  });
}
