import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Server as NetServer, Socket } from 'node:net';
import type { ListenAddress } from '../../deployment/listen-address.ts';
import type { Log } from '../observe/log.ts';
import type { ServedCertificate } from './certificate-files.ts';
import { openAddresses } from './open-addresses.ts';
import { inheritAddress, markUnixSocket, socketAddress } from './peer-address.ts';
import { readProxyProtocolBefore, type ProxyProtocolOptions } from './proxy-protocol.ts';
import { TicketKeys } from './ticket-keys.ts';
import { countedResponse, type UnreadBytes } from './unread-bytes.ts';

/** Where the server can be reached, e.g. `https://localhost:8443` or `unix:/run/mcp.sock`. */
export interface Listeners {
  readonly origins: readonly string[];
  /** Ports in the order of the addresses; null for Unix sockets. */
  readonly ports: readonly (number | null)[];
  useCertificate(certificate: ServedCertificate): void;
  /** Takes no new connections, lets answers go out for up to `flushMs`, then ends every connection. */
  close(flushMs: number): Promise<void>;
}

/** What is told of every connection. */
export interface ConnectionWatch {
  readonly unread?: UnreadBytes;
  /** What came was no HTTP that could be read; it was answered with this status. */
  readonly clientRefused?: (status: number, address: string | undefined) => void;
}

const httpOptions: ServerOptions = {
  // Longer than the idle time of the proxies in front (60 s and 75 s), so that they close first.
  keepAliveTimeout: 80_000,
  // A client gets this long for its head and for its whole body: slow ones must not hold connections.
  headersTimeout: 15_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 16_384,
  noDelay: true,
};
const maxConnections = 50_000;
/** A client that takes nothing of what is on its way to it for this long is cut off: its memory and its place are ours. */
const defaultStalledAfterMs = 60_000;
/** A client that sent no HTTP has its answer by then. */
const lingerMs = 1_000;

/** Mozilla's intermediate list (guideline 6.0): forward secrecy and AEAD only. */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** Mozilla's list for both of its profiles. */
const ecdhCurve = 'X25519:prime256v1:secp384r1';

/** Mozilla's names: `intermediate` is TLS 1.2 and 1.3, `modern` is 1.3 alone. */
export type TlsProfile = 'intermediate' | 'modern';

/** How connections are treated; node:http's own time limits may be shorter in tests. */
export interface ListenOptions extends ServerOptions {
  readonly stalledAfterMs?: number;
  readonly tlsProfile?: TlsProfile;
  /** Null when clients connect without a PROXY protocol header. */
  readonly proxyProtocol?: Omit<ProxyProtocolOptions, 'log'> | null;
  /** From which the keys of session tickets follow; shared by workers. */
  readonly ticketSecret?: Buffer;
}

/**
 * Opens every address or none (see openAddresses). Unix sockets speak plain HTTP: what connects to them is on this
 * machine.
 * @throws EnvironmentError when an address is taken or not allowed.
 */
export async function openListeners(
  addresses: readonly ListenAddress[],
  certificate: ServedCertificate | null,
  handler: RequestListener,
  log: Log,
  given: ListenOptions = {},
  watch: ConnectionWatch = {},
): Promise<Listeners> {
  const servers = createHttpServers(certificate, handler, log, given, watch);
  const scheme = certificate === null ? 'http' : 'https';
  try {
    const open = await openAddresses(addresses, (unix) => servers.create(unix));
    servers.start();
    return {
      origins: open.map(({ shown, port }) => (port === null ? `unix:${shown}` : `${scheme}://${shown}`)),
      ports: open.map(({ port }) => port),
      useCertificate: (next) => servers.useCertificate(next),
      close: (flushMs) => servers.close(flushMs),
    };
  } catch (error) {
    await servers.close(0);
    throw error;
  }
}

/** The HTTP servers of this process: all with the same limits, watched so that none of their connections is left. */
export interface HttpServers {
  /** One that does not listen yet, and that takes connections by its event `connection` too; `unix` without TLS. */
  create(unix: boolean): NetServer;
  /** All servers have been made. */
  start(): void;
  useCertificate(certificate: ServedCertificate): void;
  close(flushMs: number): Promise<void>;
}

/** Makes the servers behind the listeners. */
export function createHttpServers(
  certificate: ServedCertificate | null,
  handler: RequestListener,
  log: Log,
  given: ListenOptions,
  { unread, clientRefused = () => {} }: ConnectionWatch,
): HttpServers {
  const { stalledAfterMs = defaultStalledAfterMs, proxyProtocol = null, ticketSecret, ...timeouts } = given;
  const { tlsProfile = 'intermediate' } = given;
  const servers: NetServer[] = [];
  const httpServers: NetServer[] = [];
  const tlsServers: TlsServer[] = [];
  const sockets = new Set<Socket>();
  const counted = unread === undefined ? {} : { ServerResponse: countedResponse(unread) };
  const options = { ...httpOptions, ...timeouts, ...counted };
  const tickets = new TicketKeys(() => tlsServers, ticketSecret);

  const track = (socket: Socket): void => {
    sockets.add(socket);
    unread?.watch(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const create = (unix: boolean): NetServer => {
    const server =
      unix || certificate === null
        ? createServer(options, handler)
        : createTlsServer(tlsOptions(options, certificate, tlsProfile), handler);
    server.maxConnections = maxConnections;
    // The size of the head bounds them. Counted, node:http drops the last ones, where a proxy adds its X-Forwarded-For.
    server.maxHeadersCount = 0;
    server.timeout = stalledAfterMs;
    server.on('timeout', cutStalled);
    // Both the connection and the TLS socket on it: the one exists before the handshake, the other holds what is unsent.
    if (proxyProtocol === null) server.on('connection', track);
    if (unix) server.on('connection', markUnixSocket);
    server.on('secureConnection', track);
    server.on('secureConnection', inheritAddress);
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      const status = answerClientError(error, socket);
      if (status !== null) clientRefused(status, socketAddress(socket));
    });
    if (!unix && certificate !== null) {
      tlsServers.push(server as TlsServer);
      server.on('tlsClientError', (error: NodeJS.ErrnoException) => log.debug('tls.refused', { code: error.code }));
    }
    servers.push(server);
    httpServers.push(server);
    if (proxyProtocol === null) return server;
    const outer = readProxyProtocolBefore(server, { ...proxyProtocol, log });
    outer.maxConnections = maxConnections;
    // Those that have not sent their header are ours to end too.
    outer.on('connection', track);
    servers.push(outer);
    return outer;
  };
  const closeAll = async (flushMs: number): Promise<void> => {
    // node:http takes a connection for idle as soon as its answer is handed over, also when most of it is unsent.
    tickets.close();
    const until = performance.now() + flushMs;
    while (performance.now() < until && [...sockets].some((socket) => socket.writableLength > 0)) await nap(20);
    const closed = servers.map((server) => closeServer(server));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
  };

  return {
    create,
    start() {
      tickets.start();
      // It is with this event that node:http begins to watch for heads and bodies that never come.
      for (const server of httpServers) if (!server.listening) server.emit('listening');
    },
    useCertificate(next) {
      for (const server of tlsServers) server.setSecureContext(tlsOptions({}, next, tlsProfile));
      // A new context comes with keys of its own making.
      tickets.start();
    },
    close: closeAll,
  };
}

function tlsOptions(options: ServerOptions, { certificate, key }: ServedCertificate, profile: TlsProfile) {
  const minVersion = profile === 'modern' ? ('TLSv1.3' as const) : ('TLSv1.2' as const);
  return { ...options, cert: certificate, key, minVersion, ciphers, ecdhCurve, handshakeTimeout: 10_000 };
}

function closeServer(server: NetServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function nap(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

interface SocketWithMessage extends Socket {
  _httpMessage?: { headersSent: boolean } | null;
}

/** Nothing moved on this connection. Its call may still run, but unread bytes or no call at all end it. */
function cutStalled(socket: SocketWithMessage): void {
  const waitsForAnswer = socket._httpMessage != null && socket.writableLength === 0;
  if (!waitsForAnswer) socket.destroy();
}

/** What node:http could not read as a request is answered in JSON too. Gives the status, null when there was no answer. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): number | null {
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
