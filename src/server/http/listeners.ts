import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { Server as NetServer, type Socket } from 'node:net';
import type { ListenAddress } from '../../deployment/listen-address.ts';
import type { Log } from '../observe/log.ts';
import type { ServedCertificate } from './certificate-files.ts';
import { openAddresses, type OpenAddress } from './open-addresses.ts';
import { inheritAddress, markUnixSocket, socketAddress } from './peer-address.ts';
import { readProxyProtocolBefore, type ProxyProtocolOptions } from './proxy-protocol.ts';
import { TicketKeys } from './ticket-keys.ts';
import { countedResponse, type UnreadBytes } from './unread-bytes.ts';

/** Where the server can be reached. */
export interface Listeners {
  /** E.g. `https://localhost:8443` or `unix:/run/mcp.sock`, in the order of the addresses. */
  readonly origins: readonly string[];
  /** Ports in the order of the addresses; null for Unix sockets. */
  readonly ports: readonly (number | null)[];
  /**
   * Opens what is new among these addresses, beside what is open. An address that stays is left alone; one whose port
   * an old one holds (TLS on or off, all addresses in place of one) takes it over.
   * @throws EnvironmentError when one cannot be opened; the old ones listen as before then.
   */
  prepare(
    addresses: readonly ListenAddress[],
    certificate: ServedCertificate | null,
    treatment: Treatment,
  ): Promise<ListenersChange>;
  useCertificate(certificate: ServedCertificate): void;
  /** Every connection ends with its next answer; new ones are still taken. */
  drain(): void;
  /**
   * Takes no new connections, lets answers go out for up to `flushMs`, then ends every connection. What comes meanwhile
   * on connections without a call is still handled, so that its client gets an answer and no reset.
   */
  close(flushMs: number): Promise<void>;
}

/** Other addresses, open already. */
export interface ListenersChange {
  /** Old addresses take no new connections; what is open on them goes on and ends with its answer. */
  commit(): void;
  discard(): Promise<void>;
}

/** One address that is listened on. */
interface Bound {
  readonly address: ListenAddress;
  /** How its connections are treated, in one word to compare. */
  readonly kind: string;
  readonly open: OpenAddress;
  readonly origin: string;
  readonly servers: HttpServers;
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
  /** The CA that handshakes ask clients for a certificate of; absent when none is asked for. */
  readonly clientAuthorities?: (() => Buffer) | null;
  /** From which the keys of session tickets follow; shared by workers. */
  readonly ticketSecret?: Buffer;
}

/** Connections without a call may bring one until then: their clients cannot know yet that the server ends. */
const lastCallsMs = 250;

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
  // One for all addresses, also those of later configurations.
  const ticketSecret = given.ticketSecret ?? randomBytes(32);
  let bounds: readonly Bound[] = [];

  async function openOne(
    address: ListenAddress,
    secureWith: ServedCertificate | null,
    treatment: Treatment,
  ): Promise<Bound> {
    const servers = createHttpServers(secureWith, handler, log, { ...given, ...treatment, ticketSecret }, watch);
    try {
      const [open] = await openAddresses([address], (unix) => servers.create(unix));
      if (open === undefined) throw new Error('no address was opened');
      servers.start();
      const scheme = secureWith === null ? 'http' : 'https';
      const origin = open.port === null ? `unix:${open.shown}` : `${scheme}://${open.shown}`;
      return { address, kind: kindOf(address, secureWith !== null, treatment), open, origin, servers };
    } catch (error) {
      await servers.close(0);
      throw error;
    }
  }

  async function prepare(
    wanted: readonly ListenAddress[],
    secureWith: ServedCertificate | null,
    treatment: Treatment,
  ): Promise<ListenersChange> {
    const before = bounds;
    const stays = (address: ListenAddress): Bound | undefined =>
      before.find(
        (bound) =>
          sameAddress(bound.address, address) && bound.kind === kindOf(address, secureWith !== null, treatment),
      );
    const kept = new Set(wanted.map(stays));
    const gone = before.filter((bound) => !kept.has(bound));
    const next: Bound[] = [];
    const opened: Bound[] = [];
    const released: Bound[] = [];

    async function discard(): Promise<void> {
      await Promise.all(opened.map(({ servers }) => servers.close(0)));
      for (const { servers, origin } of released) {
        // Nobody else can have taken a port that was ours a moment ago, unless by a hair.
        await servers.listenAgain().catch((error: unknown) => log.error('listen.lost', { origin, error }));
      }
    }
    try {
      for (const address of wanted) {
        const staying = stays(address);
        if (staying !== undefined) {
          next.push(staying);
          continue;
        }
        let bound: Bound;
        try {
          bound = await openOne(address, secureWith, treatment);
        } catch (error) {
          const inTheWay = gone.filter((old) => isInTheWay(old, address) && !released.includes(old));
          if (inTheWay.length === 0) throw error;
          for (const { servers } of inTheWay) servers.stopListening();
          released.push(...inTheWay);
          bound = await openOne(address, secureWith, treatment);
        }
        opened.push(bound);
        next.push(bound);
      }
    } catch (error) {
      await discard();
      throw error;
    }
    return {
      commit() {
        bounds = next;
        for (const { servers } of gone) servers.retire();
      },
      discard,
    };
  }

  (await prepare(addresses, certificate, given)).commit();
  return {
    get origins() {
      return bounds.map(({ origin }) => origin);
    },
    get ports() {
      return bounds.map(({ open }) => open.port);
    },
    prepare,
    useCertificate(next) {
      for (const { servers } of bounds) servers.useCertificate(next);
    },
    drain() {
      for (const { servers } of bounds) servers.drain();
    },
    async close(flushMs) {
      await Promise.all(bounds.map(({ servers }) => servers.close(flushMs)));
    },
  };
}

function sameAddress(one: ListenAddress, other: ListenAddress): boolean {
  if (one.kind === 'unix') return other.kind === 'unix' && one.path === other.path;
  return other.kind === 'tcp' && one.host === other.host && one.port === other.port;
}

/** A Unix socket speaks plain HTTP. */
export function kindOf({ kind }: ListenAddress, isSecure: boolean, treatment: Treatment): string {
  const { tlsProfile, proxyProtocol, keepAliveTimeout } = treatment;
  const tls = kind === 'tcp' && isSecure ? (tlsProfile ?? 'intermediate') : 'plain';
  return `${tls} ${proxyProtocol?.mode ?? 'direct'} ${keepAliveTimeout ?? httpOptions.keepAliveTimeout}`;
}

function isInTheWay({ address: old, open }: Bound, address: ListenAddress): boolean {
  if (address.kind === 'unix') return old.kind === 'unix' && old.path === address.path;
  return address.port !== 0 && open.port === address.port;
}

/** The HTTP servers of this process: all with the same limits, watched so that none of their connections is left. */
export interface HttpServers {
  /** One that does not listen yet, and that takes connections by its event `connection` too; `unix` without TLS. */
  create(unix: boolean): NetServer;
  /** All servers have been made. */
  start(): void;
  useCertificate(certificate: ServedCertificate): void;
  /** Every connection ends with its next answer. */
  drain(): void;
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
  handler: RequestListener,
  log: Log,
  given: ListenOptions,
  { unread, clientRefused = () => {} }: ConnectionWatch,
): HttpServers {
  const { stalledAfterMs = defaultStalledAfterMs, proxyProtocol = null, ticketSecret, ...others } = given;
  const { clientAuthorities = null, ...timeouts } = others;
  const { tlsProfile = 'intermediate' } = given;
  const servers: NetServer[] = [];
  const httpServers: NetServer[] = [];
  const tlsServers: TlsServer[] = [];
  const sockets = new Set<Socket>();
  const counted = unread === undefined ? {} : { ServerResponse: countedResponse(unread) };
  const options = { ...httpOptions, ...timeouts, ...counted };
  const tickets = new TicketKeys(() => tlsServers, ticketSecret);

  let ending = false;
  let placesLeft: { readonly server: NetServer; readonly where: Where }[] = [];
  const handle: RequestListener = (req, res) => {
    if (ending) res.shouldKeepAlive = false;
    handler(req, res);
  };
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
  const drain = (): void => {
    ending = true;
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
    stopListening,
    async listenAgain() {
      for (const { server, where } of placesLeft) await listenOn(server, where);
    },
    retire() {
      drain();
      tickets.close();
      for (const server of servers) void closeServer(server);
    },
    close: closeAll,
  };
}

function tlsOptions(options: ServerOptions, { certificate, key }: ServedCertificate, profile: TlsProfile) {
  const minVersion = profile === 'modern' ? ('TLSv1.3' as const) : ('TLSv1.2' as const);
  return { ...options, cert: certificate, key, minVersion, ciphers, ecdhCurve, handshakeTimeout: 10_000 };
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
