import type { Socket } from 'node:net';

/** A client that sent no HTTP has its answer by then. */
const lingerMs = 1_000;

/** What node:http could not read as a request is answered in JSON too. Gives the status, null when there was no answer. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): number | null {
  const started = (socket as SocketWithMessage)._httpMessage?.headersSent === true;
  if (!socket.writable || started) {
    socket.destroy();
    return null;
  }
  const [status, title, detail] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ([431, 'Request Header Fields Too Large', 'The request head is larger than 16 kB.'] as const)
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ([408, 'Request Timeout', 'The request took too long to arrive.'] as const)
        : ([400, 'Bad Request', 'The request is not valid HTTP.'] as const);
  const body = JSON.stringify({ type: 'about:blank', title, status, detail });
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  // Its own end may never come: node:http no longer watches this connection.
  setTimeout(() => socket.destroy(), lingerMs).unref();
  return status;
}

interface SocketWithMessage extends Socket {
  _httpMessage?: { readonly headersSent: boolean } | null;
}
