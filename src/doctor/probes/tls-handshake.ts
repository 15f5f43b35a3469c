import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { within } from './within.ts';

export interface TlsAddress {
  /** Address to dial. */
  readonly address: string;
  readonly port: number;
  /** Name that the client asks for (SNI) and that the certificate is held against. */
  readonly host: string;
}

/**
 * Completes one handshake, lets `read` look at the socket and closes it.
 * Certificates are never refused here: whether they are good is judged.
 * Rejects when the handshake is refused or takes longer than the time-out.
 */
export async function handshake<T>(
  to: TlsAddress,
  options: ConnectionOptions,
  timeoutMs: number,
  signal: AbortSignal,
  read: (socket: TLSSocket) => T | Promise<T>,
): Promise<T> {
  const socket = connect({
    host: to.address,
    port: to.port,
    // SNI carries names only (RFC 6066, 3).
    ...(isIP(to.host) === 0 ? { servername: to.host } : {}),
    ...options,
    rejectUnauthorized: false,
    // The name is held against the certificate by who reads; here it would hide whether the chain is trusted.
    checkServerIdentity: () => undefined,
  });
  try {
    const secured = new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => {
        reject(Object.assign(new Error('the connection was closed during the handshake'), { code: 'ECONNRESET' }));
      });
    });
    await within(secured, timeoutMs, signal);
    return await read(socket);
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}
