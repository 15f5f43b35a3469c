import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

export function acceptForward(_request: IncomingMessage, socket: Duplex, _port: number): void {
  socket.end('HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
}
