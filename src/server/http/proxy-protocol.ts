import { createServer, type Server, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { Log } from '../observe/log.ts';
import { rememberAddress } from './peer-address.ts';
import { parseProxyHeader } from './proxy-header.ts';

export interface ProxyProtocolOptions {
  /** `required`: a connection without a header is closed. `optional`: its peer is the client. */
  readonly mode: 'required' | 'optional';
  /** Whether the word of this peer counts: only a declared proxy may say who the client is. */
  readonly trusts: (peer: string | undefined) => boolean;
  readonly log: Log;
  /** A proxy sends its header at once. */
  readonly headerTimeoutMs?: number;
}

/**
 * Puts a reader of PROXY protocol headers before a server: what is accepted there is handed on when its header has been
 * read, and from then on the connection has the address that the header names. Comes before TLS, as the protocol wants.
 * @returns the server that listens in place of `inner`
 */
export function readProxyProtocolBefore(inner: Server, options: ProxyProtocolOptions): Server {
  const { mode, trusts, log, headerTimeoutMs = 5_000 } = options;
  let refused = 0;
  let nextLineMs = 0;

  function refuse(socket: Socket, why: string): void {
    socket.destroy();
    refused++;
    const now = performance.now();
    if (now < nextLineMs) return;
    // One line a second: everybody can open connections.
    log.warn('proxy-protocol.refused', { peer: socket.remoteAddress, why, refusedSinceLastLine: refused });
    refused = 0;
    nextLineMs = now + 1_000;
  }

  return createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    let bytes: Buffer = Buffer.alloc(0);
    const timeout = setTimeout(() => refuse(socket, 'no header arrived in time'), headerTimeoutMs);
    const giveUp = (): void => {
      clearTimeout(timeout);
      socket.destroy();
    };
    const handOver = (): void => {
      clearTimeout(timeout);
      socket.off('data', onData).off('end', giveUp).off('close', giveUp).off('error', giveUp);
    };
    const onData = (chunk: Buffer): void => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const header = parseProxyHeader(bytes);
      if (header.state === 'more') return;
      handOver();
      if (header.state === 'broken') return refuse(socket, `a broken header: ${header.why}`);
      const isTrusted = trusts(socket.remoteAddress);
      if (header.state === 'read' && !isTrusted) return refuse(socket, 'a header from a peer that is no trusted proxy');
      if (header.state === 'absent' && mode === 'required') return refuse(socket, 'no header');
      if (header.state === 'read' && header.address !== null) rememberAddress(socket, header.address);
      socket.pause();
      const rest = header.state === 'read' ? bytes.subarray(header.length) : bytes;
      if (rest.length > 0) socket.unshift(rest);
      inner.emit('connection', socket);
      // TLS takes what is unread by itself, in the next turn; node:http waits for it to flow.
      if (!(inner instanceof TlsServer)) socket.resume();
    };
    socket.on('data', onData).on('end', giveUp).on('close', giveUp).on('error', giveUp);
  });
}
