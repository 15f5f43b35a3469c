import type { PeerCertificate, DetailedPeerCertificate } from 'node:tls';
import { EnvironmentError } from '../../deployment/errors.ts';
import { describeNetworkFailure } from '../network-failure.ts';
import { handshake, type TlsAddress } from './tls-handshake.ts';

/** A chain that goes on for longer is a loop or an attack on the reader. */
const maxChainLength = 10;

/**
 * The certificates a server sends, as PEM, leaf first, trusted or not.
 * @throws EnvironmentError when there is no TLS server or it sends none.
 */
export async function readServedChain(to: {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}): Promise<string> {
  const address = { address: to.host, port: to.port, host: to.host };
  let pem: string;
  try {
    pem = await servedChain(address, to.timeoutMs, new AbortController().signal);
  } catch (error) {
    const { kind, message } = describeNetworkFailure(error);
    throw new EnvironmentError(`No certificate could be read from ${to.host}:${to.port}.`, {
      why: kind === 'not-tls' ? 'What listens there does not speak TLS.' : message,
      next: 'Check the name and the port.',
      cause: error,
    });
  }
  if (pem === '') throw new EnvironmentError(`${to.host}:${to.port} sent no certificate.`, { next: 'Check the port.' });
  return pem;
}

/** The same for probes; rejects with Node's own error. */
export function servedChain(to: TlsAddress, timeoutMs: number, signal: AbortSignal): Promise<string> {
  // With an empty trust store Node cannot append the issuers that it knows itself, so what is left was sent.
  return handshake(to, { ca: [] }, timeoutMs, signal, (socket) => chainPem(socket.getPeerCertificate(true)));
}

function chainPem(leaf: PeerCertificate | DetailedPeerCertificate): string {
  const seen = new Set<string>();
  let pem = '';
  let current: PeerCertificate | DetailedPeerCertificate | undefined = leaf;
  // Node answers an empty object when there was no certificate.
  while (current?.raw !== undefined && !seen.has(current.fingerprint256) && seen.size < maxChainLength) {
    seen.add(current.fingerprint256);
    const base64 = current.raw
      .toString('base64')
      .replaceAll(/(.{64})/g, '$1\n')
      .trimEnd();
    pem += `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
    current = 'issuerCertificate' in current ? current.issuerCertificate : undefined;
  }
  return pem;
}
