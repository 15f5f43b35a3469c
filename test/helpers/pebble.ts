import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { findProgram } from './tools.ts';
import { waitUntil } from './wait-until.ts';

export interface PebbleOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Key identifiers and base64url HMAC keys; accounts need one of them then. */
  readonly eab?: Readonly<Record<string, string>>;
}

/** A real ACME authority on loopback, with DNS of its own in which every name leads to this machine. */
export interface Pebble {
  readonly directoryUrl: string;
  /** CA of its own HTTPS. */
  readonly caFile: string;
  readonly caPem: string;
  readonly httpPort: number;
  readonly tlsPort: number;
  /** Address of its DNS server. */
  readonly dns: string;
  /** A program for dns-01 that speaks add/remove NAME VALUE, and the file in which it notes its calls. */
  readonly dnsHook: readonly string[];
  readonly hookLog: string;
  /** Tells the DNS server something: `add-servfail`, `set-txt` and the like. */
  tellDns(path: string, body: unknown): Promise<void>;
  /** Root that its certificates are signed with. */
  rootPem(): Promise<string>;
  stop(): Promise<void>;
}

export async function startPebble(options: PebbleOptions = {}): Promise<Pebble> {
  const folder = await mkdtemp(join(tmpdir(), 'mcpd-pebble-'));
  const [port, management, httpPort, tlsPort, dnsPort, dnsManagement] = await freePorts(6);
  const ca = await issuePrivateCa({ commonName: 'pebble test CA', names: ['localhost', '127.0.0.1'] });
  const pair = await issueCertificate({ ca, names: ['localhost', '127.0.0.1'], validDays: 10 });
  const caFile = join(folder, 'ca.pem');
  await writeFile(caFile, ca.certificatePem);
  await writeFile(join(folder, 'cert.pem'), pair.certificatePem);
  await writeFile(join(folder, 'key.pem'), pair.keyPem);
  const hook = join(folder, 'hook.mjs');
  const hookLog = join(folder, 'hook.log');
  await writeFile(
    hook,
    `import { appendFileSync } from 'node:fs';
const [verb, record, value] = process.argv.slice(2);
appendFileSync(${JSON.stringify(hookLog)}, [verb, record, value].join(' ') + '\\n');
const path = verb === 'add' ? 'set-txt' : 'clear-txt';
await fetch('http://127.0.0.1:${dnsManagement}/' + path, { method: 'POST', body: JSON.stringify({ host: record + '.', value }) });
`,
  );
  await writeFile(
    join(folder, 'pebble.json'),
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: join(folder, 'cert.pem'),
        privateKey: join(folder, 'key.pem'),
        httpPort,
        tlsPort,
        externalAccountBindingRequired: options.eab !== undefined,
        ...(options.eab === undefined ? {} : { externalAccountMACKeys: options.eab }),
      },
    }),
  );
  const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', ...options.env };
  const children = [
    start('pebble-challtestsrv', [
      `-dns01=127.0.0.1:${dnsPort}`,
      `-management=127.0.0.1:${dnsManagement}`,
      '-http01=',
      '-https01=',
      '-tlsalpn01=',
      '-defaultIPv6=',
    ]),
    start('pebble', ['-config', join(folder, 'pebble.json'), '-dnsserver', `127.0.0.1:${dnsPort}`], env),
  ];
  const directoryUrl = `https://127.0.0.1:${port}/dir`;
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(stopChild));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await waitUntil(
      async () => (await get(directoryUrl, ca.certificatePem).catch(() => null)) !== null,
      15_000,
      'pebble',
    );
    await waitUntil(
      () =>
        fetch(`http://127.0.0.1:${dnsManagement}/`).then(
          () => true,
          () => false,
        ),
      15_000,
      'the DNS of pebble',
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    directoryUrl,
    caFile,
    caPem: ca.certificatePem,
    httpPort: httpPort ?? 0,
    tlsPort: tlsPort ?? 0,
    dns: `127.0.0.1:${dnsPort}`,
    dnsHook: [process.execPath, hook],
    hookLog,
    async tellDns(path, body) {
      await fetch(`http://127.0.0.1:${dnsManagement}/${path}`, { method: 'POST', body: JSON.stringify(body) });
    },
    rootPem: () => get(`https://127.0.0.1:${management}/roots/0`, ca.certificatePem),
    stop,
  };
}

function start(name: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
  return spawn(findProgram(name) ?? name, args, {
    stdio: process.env['SHOW_PEBBLE'] === '1' ? 'inherit' : 'ignore',
    env,
  });
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

function get(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(url, { ca, agent: false, timeout: 2_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve(text));
    });
    call
      .on('error', reject)
      .on('timeout', () => call.destroy())
      .end();
  });
}

/** Ports that nobody listens on at this moment, all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
