import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hop, Severity } from '../../src/doctor/types.ts';
import { issueCertificate } from '../fixtures/mcp-servers/certificates.ts';
import { createFetch } from '../../src/doctor/probes/https-fetch.ts';
import { answerJson, type FixtureOptions } from '../fixtures/mcp-servers/fixture-server.ts';
import { repository } from '../helpers/cli.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { ca } from './laboratory.ts';
import type { OwnCase } from './own-laboratory.ts';

export interface OwnFault extends OwnCase {
  readonly fault: string;
  readonly code: string;
  readonly hop: Hop;
  readonly severity?: Severity;
  /** Only root can build it. */
  readonly root?: true;
  readonly twin: OwnCase & { readonly fact: string };
}

const renewed = issueCertificate(ca, ['localhost', '127.0.0.1']);

const echo = [process.execPath, join(repository, 'bench/servers/echo-stdio.mjs')];

/** Waits until /status says so. */
function untilStatus(isSo: (text: string) => boolean): NonNullable<OwnCase['change']> {
  return async ({ url, key }) => {
    const http = createFetch({ caPem: ca.certificatePem, timeoutMs: 5_000 });
    const status = async (): Promise<string> =>
      (await http(new URL('/status', url), { headers: { authorization: `Bearer ${key}` } })).text();
    await waitUntil(async () => isSo(await status()), 30_000, 'the programs are as they should be');
    http.close();
  };
}

/** /status of a server that has run for an hour. */
function tellStatus(upstream: object): NonNullable<FixtureOptions['intercept']> {
  return (request, response) => {
    if (request.url !== '/status') return false;
    answerJson(response, 200, { uptimeSeconds: 3_600, upstreams: [{ name: 'files', state: 'up', ...upstream }] });
    return true;
  };
}

/** What can go wrong on the machine of a deployment. */
export const ownFaults: readonly OwnFault[] = [
  {
    fault: 'the server was stopped',
    code: 'host/server-running',
    hop: 'host',
    own: { serverRunning: false },
    change: (deployed) => deployed.stop(),
    twin: { fact: 'it runs' },
  },
  {
    fault: 'the server key is open to all',
    code: 'host/file-modes',
    hop: 'host',
    change: ({ folder }) => chmod(join(folder, 'server.key'), 0o644),
    twin: { fact: 'it is read-only for its owner', change: ({ folder }) => chmod(join(folder, 'server.key'), 0o400) },
  },
  {
    fault: 'everyone can read the server key of a service',
    code: 'host/file-modes',
    hop: 'host',
    system: true,
    change: ({ folder }) => chmod(join(folder, 'server.key'), 0o644),
    twin: {
      fact: 'the group of the service can',
      system: true,
      change: ({ folder }) => chmod(join(folder, 'server.key'), 0o640),
    },
  },
  {
    fault: 'the store of keys was damaged while the server runs',
    code: 'host/key-store',
    hop: 'host',
    change: ({ folder }) => writeFile(join(folder, 'keys.json'), '{"keys":[{"id"'),
    twin: {
      fact: 'it was written again as it was',
      change: async ({ folder }) => {
        const text = await readFile(join(folder, 'keys.json'), 'utf8');
        await writeFile(join(folder, 'keys.json'), text);
      },
    },
  },
  {
    fault: 'the store of keys was deleted',
    code: 'host/key-store',
    hop: 'host',
    change: ({ folder }) => rm(join(folder, 'keys.json')),
    twin: { fact: 'the key of its owner was moved away', change: ({ folder }) => rm(join(folder, 'default.key')) },
  },
  {
    fault: 'a key of half a year',
    code: 'host/key-age',
    hop: 'host',
    severity: 'warning',
    keyAgeDays: 180,
    twin: { fact: 'a key of 89 days', keyAgeDays: 89 },
  },
  {
    // The file system of /proc has no room at all, on every Linux.
    fault: 'no room is left for what the server writes',
    code: 'host/disk',
    hop: 'host',
    own: { stateDir: '/proc' },
    twin: { fact: 'there is room' },
  },
  {
    fault: 'the key file is that of another certificate',
    code: 'tls/key-matches',
    hop: 'host',
    change: ({ folder }) => writeFile(join(folder, 'server.key'), renewed.keyPem),
    twin: {
      fact: 'the key file ends with a blank line',
      change: async ({ folder }) => {
        const text = await readFile(join(folder, 'server.key'), 'utf8');
        await writeFile(join(folder, 'server.key'), `${text}\n`);
      },
    },
  },
  {
    fault: 'a renewed pair that was not loaded',
    code: 'tls/served-matches-file',
    hop: 'tls',
    // A server that does not watch its files, as most do not.
    server: {},
    change: async ({ folder }) => {
      await writeFile(join(folder, 'server.crt'), renewed.certificatePem);
      await writeFile(join(folder, 'server.key'), renewed.keyPem);
    },
    twin: { fact: 'the same pair', server: {} },
  },
  {
    fault: 'the health path is not there',
    code: 'health/up',
    hop: 'server',
    server: {
      intercept: (request, response) => {
        if (request.url !== '/health') return false;
        answerJson(response, 404, { error: 'not_found' });
        return true;
      },
    },
    twin: { fact: 'another path is not there', server: {} },
  },
  {
    fault: 'the only program behind the server has ended',
    code: 'health/ready',
    hop: 'server',
    upstream: [process.execPath, '-e', 'process.exit(3)'],
    twin: { fact: 'there is none behind it' },
  },
  {
    fault: 'one of two programs behind the server does not start',
    code: 'health/upstreams',
    hop: 'server',
    severity: 'warning',
    upstreams: { good: echo, bad: [process.execPath, '-e', 'process.exit(3)'] },
    change: untilStatus((text) => /"good","state":"up"/.test(text) && /"bad","state":"(?:down|broken)"/.test(text)),
    twin: {
      fact: 'both run',
      upstreams: { good: echo, other: echo },
      change: untilStatus((text) => text.match(/"state":"up"/g)?.length === 2),
    },
  },
  {
    fault: 'the program behind the server ends again and again',
    code: 'health/upstreams',
    hop: 'server',
    severity: 'warning',
    server: { intercept: tellStatus({ restarts: 12, since: new Date().toISOString() }) },
    twin: {
      fact: 'it was started again once',
      server: { intercept: tellStatus({ restarts: 1, since: new Date().toISOString() }) },
    },
  },
  {
    fault: 'something takes the RateLimit headers off',
    code: 'limits/headers',
    hop: 'proxy',
    severity: 'warning',
    server: { limitHeaders: (headers) => ({ 'retry-after': headers['retry-after'] ?? '1' }) },
    twin: { fact: 'they are there', server: {} },
  },
];
