import { EnvironmentError, ExplainedError } from '../deployment/errors.ts';
import { keyMatchesCertificate } from '../pki/key-matches-certificate.ts';
import { parseCertificates } from '../pki/parse-certificates.ts';
import type { LiveCertificate, LiveSocket } from '../plan/live-certificate.ts';
import type { ApplyPorts } from './ports.ts';

const pollMs = 100;
const handshakeTimeoutMs = 3_000;

export interface ServeOptions {
  readonly ports: Pick<ApplyPorts, 'files' | 'processes' | 'endpoint' | 'clock'>;
  readonly signal?: AbortSignal;
}

/**
 * Has the pair on disk taken up by what serves it, and proves it: the server gets a SIGHUP, the proxy its own reload
 * command, then handshakes to the live sockets go on until each shows the certificate of the file.
 *
 * @returns what was proven, in a few words
 * @throws EnvironmentError that names the hop: file, server or proxy
 */
export async function serveCertificate(live: LiveCertificate, { ports, signal }: ServeOptions): Promise<string> {
  const wanted = await readFingerprint(live, ports);
  const running = (await ports.processes.serverState(live.pidFile)).state === 'running';
  if (running) await ports.processes.reloadServer(live.pidFile);
  const proven: string[] = [];
  for (const socket of live.sockets) {
    if (socket.hop === 'server' && !running) continue;
    // An undo comes here when the proxy refused its configuration: what it never dropped need not be loaded again.
    if (socket.hop === 'proxy' && live.proxyReload !== null && !(await shows(socket, wanted, ports)))
      await reloadProxy(live, live.proxyReload, ports);
    await proveSocket(socket, wanted, live, { ports, ...(signal === undefined ? {} : { signal }) });
    proven.push(`${socket.host}:${socket.port}`);
  }
  if (live.proxyReload !== null && !live.sockets.some(({ hop }) => hop === 'proxy')) {
    await reloadProxy(live, live.proxyReload, ports);
    proven.push('proxy reloaded, not proven (set proxy.probe)');
  }
  return proven.length === 0 ? 'nothing serves it at this moment' : `proven on ${proven.join(', ')}`;
}

async function readFingerprint(live: LiveCertificate, { files }: Pick<ApplyPorts, 'files'>): Promise<string> {
  const [certificate, key] = await Promise.all([files.read(live.certificateFile), files.read(live.keyFile)]);
  if (certificate === null || key === null) {
    throw new EnvironmentError(
      `hop file: ${certificate === null ? live.certificateFile : live.keyFile} is not there.`,
      {
        next: 'mcp-deploy apply',
      },
    );
  }
  if (!keyMatchesCertificate(certificate.toString('utf8'), key.toString('utf8'))) {
    throw new EnvironmentError(`hop file: ${live.keyFile} does not belong to ${live.certificateFile}.`, {
      why: 'One of the two was replaced alone.',
      next: 'mcp-deploy cert renew --force',
    });
  }
  return parseCertificates(certificate, live.certificateFile)[0].x509.fingerprint256;
}

async function reloadProxy(
  { proxyCheck }: LiveCertificate,
  argv: readonly string[],
  { processes }: Pick<ApplyPorts, 'processes'>,
): Promise<void> {
  if (proxyCheck !== null) {
    const checked = await processes.run(proxyCheck, 30_000);
    if (checked.exitCode !== null && checked.exitCode !== 0) {
      throw new EnvironmentError(`hop proxy: it refuses its configuration: ${proxyCheck.join(' ')}`, {
        why: `It ended with ${checked.exitCode}, so it was not reloaded.`,
        next: 'Mend what it says, then: mcp-deploy cert renew --force',
        excerpt: checked.lastWords,
      });
    }
  }
  const { exitCode, lastWords } = await processes.run(argv, 30_000);
  if (exitCode === 0) return;
  throw new EnvironmentError(`hop proxy: its reload command failed: ${argv.join(' ')}`, {
    why: exitCode === null ? 'It did not end in time, or could not be started.' : `It ended with ${exitCode}.`,
    next: 'Try it by hand, and correct proxy.reload in mcp-deploy.yaml.',
    excerpt: lastWords,
  });
}

async function shows(socket: LiveSocket, wanted: string, { endpoint }: Pick<ApplyPorts, 'endpoint'>): Promise<boolean> {
  const seen = await endpoint.servedFingerprint(socket, handshakeTimeoutMs);
  return 'fingerprint256' in seen && seen.fingerprint256 === wanted;
}

async function proveSocket(
  socket: LiveSocket,
  wanted: string,
  live: LiveCertificate,
  { ports, signal }: ServeOptions,
): Promise<void> {
  const { clock, endpoint } = ports;
  const startedAt = clock.elapsed();
  for (;;) {
    signal?.throwIfAborted();
    const seen = await endpoint.servedFingerprint(socket, handshakeTimeoutMs);
    if ('fingerprint256' in seen && seen.fingerprint256 === wanted) return;
    if (clock.elapsed() - startedAt >= live.timeoutMs) throw notServed(socket, seen, live);
    await clock.sleep(pollMs, signal);
  }
}

function notServed(
  { hop, host, port }: LiveSocket,
  seen: { readonly fingerprint256: string } | { readonly problem: string },
  { certificateFile, timeoutMs }: LiveCertificate,
): ExplainedError {
  const why =
    'problem' in seen
      ? `A handshake fails: ${seen.problem}`
      : `It still shows another one (SHA-256 ${seen.fingerprint256.slice(0, 23)}…).`;
  return new EnvironmentError(
    `hop ${hop}: ${host}:${port} does not show ${certificateFile} within ${timeoutMs / 1_000} s.`,
    {
      why,
      next:
        hop === 'server'
          ? 'mcp-deploy logs        says why the server refused it'
          : 'See that proxy.reload reloads the program that listens there (Caddy: with --force), and that it reads this file.',
    },
  );
}
