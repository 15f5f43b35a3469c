import type { TLSSocket } from 'node:tls';
import { describeNetworkFailure } from '../network-failure.ts';
import type { TlsSeen } from '../observations.ts';
import { handshake, type TlsAddress } from './tls-handshake.ts';

/** RFC 9113, 3.4: the preface, then a SETTINGS frame without settings. */
const opening = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);
const settingsType = 4;

/** Agrees on HTTP/2 where that is offered, and looks whether it is what comes then: a SETTINGS frame (RFC 9113, 3.4). */
export async function speakHttp2(
  to: TlsAddress,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<TlsSeen['offers']['http2']> {
  try {
    return await handshake(to, { ALPNProtocols: ['h2'] }, timeoutMs, signal, (socket) =>
      socket.alpnProtocol === 'h2' ? firstWords(socket, timeoutMs) : 'not agreed on',
    );
  } catch (error) {
    const { kind } = describeNetworkFailure(error);
    return kind === 'tls-refused' || kind === 'reset' ? 'not agreed on' : null;
  }
}

function firstWords(socket: TLSSocket, timeoutMs: number): Promise<TlsSeen['offers']['http2']> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), timeoutMs);
    const say = (what: TlsSeen['offers']['http2']): void => {
      clearTimeout(timer);
      resolve(what);
    };
    socket.once('data', (head: Buffer) => say(head[3] === settingsType ? 'spoken' : 'something else'));
    socket.once('end', () => say('closed'));
    socket.once('close', () => say('closed'));
    socket.write(opening);
  });
}
