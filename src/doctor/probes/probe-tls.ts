import { checkServerIdentity, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import { describeChain } from '../../pki/describe-certificate.ts';
import { parseCertificates } from '../../pki/parse-certificates.ts';
import { constrainsAddresses } from '../../pki/constrains-addresses.ts';
import { judgeCertificate } from '../../pki/verify-certificate.ts';
import { describeNetworkFailure } from '../network-failure.ts';
import type { Observed, TlsSeen } from '../observations.ts';
import { speakHttp2 } from './speak-http2.ts';
import { servedChain } from './served-chain.ts';
import { handshake, type TlsAddress } from './tls-handshake.ts';

interface Ordinary {
  readonly protocol: string | null;
  readonly alpn: string | null;
  readonly authorised: boolean;
  readonly trustError: string | null;
  readonly nameMatches: boolean;
  readonly durationMs: number;
}

/**
 * Several handshakes at once: an ordinary one, one that sees only what was
 * sent, and one per version. OpenSSL says whether the chain is trusted; why
 * not is worked out offline from the certificates.
 */
export async function probeTls(
  to: TlsAddress,
  caPem: string | null,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Observed<TlsSeen>> {
  const [ordinary, pem, v12, upTo11, http1, http2] = await Promise.all([
    settle(ordinaryHandshake(to, caPem, timeoutMs, signal)),
    settle(servedChain(to, timeoutMs, signal)),
    isLetIn(to, { maxVersion: 'TLSv1.2' }, timeoutMs, signal),
    // SECLEVEL=0: OpenSSL 3 does not offer these versions otherwise, and a refusal would be our own.
    isLetIn(to, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }, timeoutMs, signal),
    speaksHttp1(to, timeoutMs, signal),
    speakHttp2(to, timeoutMs, signal),
  ]);
  signal.throwIfAborted();
  if (!ordinary.done) {
    return {
      status: 'ok',
      address: to.address,
      refused: describeNetworkFailure(ordinary.error),
      protocol: null,
      alpn: null,
      offers: { http1: null, http2: null },
      versions: { upTo11, v12, v13: null },
      trustedBy: null,
      trustError: null,
      nameMatches: false,
      ...unread,
    };
  }
  const seen = ordinary.value;
  // A client with an extra CA still trusts the public roots.
  const byRoots =
    caPem !== null && !seen.authorised ? await settle(ordinaryHandshake(to, null, timeoutMs, signal)) : null;
  const trustedByRoots = byRoots?.done === true && byRoots.value.authorised;
  return {
    status: 'ok',
    address: to.address,
    refused: null,
    protocol: seen.protocol,
    alpn: seen.alpn,
    offers: { http1, http2 },
    versions: { upTo11, v12, v13: seen.protocol === 'TLSv1.3' },
    trustedBy:
      trustedByRoots || (seen.authorised && caPem === null) ? 'public roots' : seen.authorised ? 'given CA' : null,
    trustError: seen.authorised || trustedByRoots ? null : seen.trustError,
    nameMatches: seen.nameMatches,
    durationMs: seen.durationMs,
    ...judgeOffline(pem.done ? pem.value : '', trustedByRoots ? null : caPem, to.host),
  };
}

function ordinaryHandshake(
  to: TlsAddress,
  caPem: string | null,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Ordinary> {
  const startedAt = performance.now();
  const options = { ALPNProtocols: ['h2', 'http/1.1'], ...(caPem === null ? {} : { ca: caPem }) };
  return handshake(to, options, timeoutMs, signal, (socket) => ({
    protocol: socket.getProtocol(),
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : null,
    authorised: socket.authorized,
    // The types say Error; with rejectUnauthorized: false Node sets OpenSSL's code as a string.
    trustError: socket.authorized ? null : String(socket.authorizationError),
    nameMatches: isForName(to.host, socket.getPeerCertificate()),
    durationMs: performance.now() - startedAt,
  }));
}

function isForName(host: string, certificate: PeerCertificate): boolean {
  return certificate.subject !== undefined && checkServerIdentity(host, certificate) === undefined;
}

async function isLetIn(
  to: TlsAddress,
  options: ConnectionOptions,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean | null> {
  const result = await settle(handshake(to, options, timeoutMs, signal, () => true));
  if (result.done) return true;
  const { kind, code } = describeNetworkFailure(result.error);
  // Only a refusal in words is an answer; a time-out says nothing, and our own OpenSSL may not know the version.
  if (code === 'ERR_SSL_NO_PROTOCOLS_AVAILABLE') return null;
  return kind === 'tls-refused' || kind === 'reset' ? false : null;
}

/** Only the alert that is meant for it says no (RFC 7301, 3.2); a reset may have any reason. */
async function speaksHttp1(to: TlsAddress, timeoutMs: number, signal: AbortSignal): Promise<boolean | null> {
  const result = await settle(handshake(to, { ALPNProtocols: ['http/1.1'] }, timeoutMs, signal, () => true));
  if (result.done) return true;
  return /no application protocol/i.test(describeNetworkFailure(result.error).message) ? false : null;
}

type Offline = Pick<TlsSeen, 'issuerUrl' | 'chain' | 'problems' | 'constrainsAddresses'>;

const unread: Offline = { issuerUrl: null, chain: [], problems: [], constrainsAddresses: false };

function judgeOffline(pem: string, caPem: string | null, host: string): Offline {
  if (pem === '') return unread;
  try {
    return {
      issuerUrl: issuerUrlOf(parseCertificates(pem).at(-1)?.x509.infoAccess),
      chain: describeChain(pem),
      constrainsAddresses: constrainsAddresses(pem + (caPem ?? '')),
      problems: judgeCertificate({ chainPem: pem, name: host, ...(caPem === null ? {} : { caPem }) }),
    };
  } catch {
    // Certificates that this reader cannot take apart are still judged by what OpenSSL said of them.
    return unread;
  }
}

function issuerUrlOf(infoAccess: string | undefined): string | null {
  return /CA Issuers - URI:(\S+)/.exec(infoAccess ?? '')?.[1] ?? null;
}

async function settle<T>(work: Promise<T>): Promise<{ done: true; value: T } | { done: false; error: unknown }> {
  try {
    return { done: true, value: await work };
  } catch (error) {
    return { done: false, error };
  }
}
