import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { Server as NetServer, type Socket } from 'node:net';
import type { Log } from '../observe/log.ts';
import type { InheritedSockets } from '../systemd/inherited-sockets.ts';
import type { ServedCertificate } from './certificate-files.ts';
import { answerClientError } from './client-errors.ts';
import { countedResponse } from './counted-response.ts';
import { inheritAddress, markUnixSocket, socketAddress } from './peer-address.ts';
import type { HttpHandler } from './http-message.ts';
import { QuickConnections } from './quick/quick-connections.ts';
import { readProxyProtocolBefore, type ProxyProtocolOptions } from './proxy-protocol.ts';
import { StalledConnections } from './stalled-connections.ts';
import { TicketKeys } from './ticket-keys.ts';
import { tlsOptions, type TlsProfile } from './tls-options.ts';
import type { UnreadBytes } from './unread-bytes.ts';

/** What is told of every connection. */
export interface ConnectionWatch {
  readonly unread?: UnreadBytes;
  /** What came was no HTTP that could be read; it was answered with this status. */
  readonly clientRefused?: (status: number, address: string | undefined) => void;
}

/** Longer than the idle time of the proxies in front (60 s and 75 s), so that they close first. */
export const idleConnectionMs = 80_000;

const httpOptions: ServerOptions = {
  keepAliveTimeout: idleConnectionMs,
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

/** What can change while the server runs: an address that is treated otherwise is opened anew. */
export interface Treatment {
  readonly tlsProfile?: TlsProfile;
  /** Null when clients connect without a PROXY protocol header. */
  readonly proxyProtocol?: Omit<ProxyProtocolOptions, 'log'> | null;
  /** How long a connection without requests is kept, in ms; 80,000 when absent. */
  readonly keepAliveTimeout?: number;
}

/** How connections are treated; node:http's own time limits may be shorter in tests. */
export interface ListenOptions extends Omit<ServerOptions, 'keepAliveTimeout'>, Treatment {
  readonly stalledAfterMs?: number;
  /** False: node:http reads every request. */
  readonly quick?: boolean;
  /** The CA that handshakes ask clients for a certificate of; absent when none is asked for. */
  readonly clientAuthorities?: (() => Buffer) | null;
  /** From which the keys of session tickets follow; shared by workers. */
  readonly ticketSecret?: Buffer;
  /** Sockets that systemd handed over; null when this process opens its own. */
  readonly inherited?: InheritedSockets | null;
}

/** Connections without a call may bring one until then: their clients cannot know yet that the server ends. */
const lastCallsMs = 250;

/** The HTTP servers of this process: all with the same limits, watched so that none of their connections is left. */
export interface HttpServers {
  /** One that does not listen yet, and that takes connections by its event `connection` too; `unix` without TLS. */
  create(unix: boolean): NetServer;
  /** All servers have been made. */
  start(): void;
  useCertificate(certificate: ServedCertificate): void;
  /** Every connection ends with its next answer. */
  drain(): void;
  /** Waits for what clients send that cannot know yet that the server ends; not for answers. */
  lastCalls(): Promise<void>;
  /** Takes no new connections; those that are open are left alone. */
  stopListening(): void;
  /** Takes up what `stopListening` gave up. */
  listenAgain(): Promise<void>;
  /** Takes no new connections and ends by itself, when the last of those that are open has. */
  retire(): void;
  close(flushMs: number): Promise<void>;
}

/** Makes the servers behind the listeners. */
export function createHttpServers(
  certificate: ServedCertificate | null,
  handler: HttpHandler,
  log: Log,
  given: ListenOptions,
  { unread, clientRefused = () => {} }: ConnectionWatch,
): HttpServers {
  const { stalledAfterMs = defaultStalledAfterMs, proxyProtocol = null, ticketSecret, ...others } = given;
  const { clientAuthorities = null, quick: isQuick = true, ...timeouts } = others;
  const { tlsProfile = 'intermediate' } = given;
  const servers: NetServer[] = [];
  const httpServers: NetServer[] = [];
  const tlsServers: TlsServer[] = [];
  const sockets = new Set<Socket>();
  const counted = unread === undefined ? {} : { ServerResponse: countedResponse(unread) };
  const options = { ...httpOptions, ...timeouts, ...counted };
  const tickets = new TicketKeys(() => tlsServers, ticketSecret);
  const stalled = new StalledConnections(sockets, stalledAfterMs);

  let ending = false;
  let placesLeft: { readonly server: NetServer; readonly where: Where }[] = [];
  const handle: RequestListener = (req, res) => {
    if (ending) res.shouldKeepAlive = false;
    handler(req, res);
  };
  const quick = new QuickConnections({
    handler,
    unread,
    keepAliveMs: options.keepAliveTimeout ?? idleConnectionMs,
    lookEveryMs: options.connectionsCheckingInterval ?? 1_000,
  });
  // Everyone is let through the handshake: who is refused is told why, in HTTP.
  const clientOptions = () =>
    clientAuthorities === null ? {} : { ca: clientAuthorities(), requestCert: true, rejectUnauthorized: false };

  const track = (socket: Socket): void => {
    sockets.add(socket);
    unread?.watch(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const create = (unix: boolean): NetServer => {
    const server =
      unix || certificate === null
        ? createServer(options, handle)
        : createTlsServer({ ...tlsOptions(options, certificate, tlsProfile), ...clientOptions() }, handle);
    if (isQuick) quick.putBefore(server, server instanceof TlsServer ? 'secureConnection' : 'connection');
    server.maxConnections = maxConnections;
    // The size of the head bounds them. Counted, node:http drops the last ones, where a proxy adds its X-Forwarded-For.
    server.maxHeadersCount = 0;
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
  const stopLooking = (): void => {
    stalled.close();
    quick.close();
  };
  const drain = (): void => {
    ending = true;
    quick.ending = true;
    // Answers that are under way tell their clients too not to use the connection again.
    for (const { _httpMessage: message } of sockets as Set<SocketWithMessage>) {
      if (message != null && !message.headersSent) message.shouldKeepAlive = false;
    }
  };
  const stopListening = (): void => {
    placesLeft = servers.flatMap((server) => (server.listening ? [{ server, where: placeOf(server) }] : []));
    // Not `close` of node:http: that would cut connections whose next request is on its way.
    for (const { server } of placesLeft) NetServer.prototype.close.call(server);
  };
  const closeAll = async (flushMs: number): Promise<void> => {
    tickets.close();
    drain();
    stopListening();
    const started = performance.now();
    const isUnsent = (): boolean => [...sockets].some((socket) => socket.writableLength > 0);
    const mustWait = (waitedMs: number): boolean =>
      waitedMs < flushMs && ((sockets.size > 0 && waitedMs < lastCallsMs) || isUnsent());
    // node:http takes a connection for idle as soon as its answer is handed over, also when most of it is unsent.
    while (mustWait(performance.now() - started)) await nap(20);
    const closed = servers.map((server) => closeServer(server));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
    stopLooking();
  };

  return {
    create,
    start() {
      tickets.start();
      // It is with this event that node:http begins to watch for heads and bodies that never come.
      for (const server of httpServers) if (!server.listening) server.emit('listening');
    },
    useCertificate(next) {
      for (const server of tlsServers)
        server.setSecureContext({ ...tlsOptions({}, next, tlsProfile), ...clientOptions() });
      // A new context comes with keys of its own making.
      tickets.start();
    },
    drain,
    async lastCalls() {
      drain();
      const started = performance.now();
      while (sockets.size > 0 && performance.now() - started < lastCallsMs) await nap(20);
    },
    stopListening,
    async listenAgain() {
      for (const { server, where } of placesLeft) await listenOn(server, where);
    },
    retire() {
      drain();
      tickets.close();
      quick.closeIdle();
      void Promise.all(servers.map(closeServer)).then(stopLooking);
    },
    close: closeAll,
  };
}

interface Where {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
}

function placeOf(server: NetServer): Where {
  const place = server.address();
  if (place === null) return {};
  return typeof place === 'string' ? { path: place } : { host: place.address, port: place.port };
}

function listenOn(server: NetServer, where: Where): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...where, backlog: 1_024 }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
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
  _httpMessage?: { readonly headersSent: boolean; shouldKeepAlive: boolean } | null;
}
