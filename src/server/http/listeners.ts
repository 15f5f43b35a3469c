import { randomBytes } from 'node:crypto';
import type { HttpHandler } from './http-message.ts';
import type { ListenAddress } from '../../deployment/listen-address.ts';
import type { Log } from '../observe/log.ts';
import type { ServedCertificate } from './certificate-files.ts';
import {
  createHttpServers,
  idleConnectionMs,
  type ConnectionWatch,
  type HttpServers,
  type ListenOptions,
  type Treatment,
} from './http-servers.ts';
import { openAddresses, type OpenAddress } from './open-addresses.ts';

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
   * Leaves new connections to the next process, which finds them in the sockets that systemd holds, and waits for the
   * last calls of those that are open: none of them is refused. Does nothing when no socket was handed over and no
   * successor has them.
   */
  handOver(hasSuccessor: boolean): Promise<void>;
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

/**
 * Opens every address or none (see openAddresses). Unix sockets speak plain HTTP: what connects to them is on this
 * machine.
 * @throws EnvironmentError when an address is taken or not allowed.
 */
export async function openListeners(
  addresses: readonly ListenAddress[],
  certificate: ServedCertificate | null,
  handler: HttpHandler,
  log: Log,
  given: ListenOptions = {},
  watch: ConnectionWatch = {},
): Promise<Listeners> {
  // One for all addresses, also those of later configurations.
  const ticketSecret = given.ticketSecret ?? randomBytes(32);
  const { inherited = null, ...common } = given;
  let bounds: readonly Bound[] = [];

  async function openOne(
    address: ListenAddress,
    secureWith: ServedCertificate | null,
    treatment: Treatment,
  ): Promise<Bound> {
    const servers = createHttpServers(secureWith, handler, log, { ...common, ...treatment, ticketSecret }, watch);
    try {
      const [open] = await openAddresses([address], (unix) => servers.create(unix), inherited);
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
      for (const { open } of opened) open.letGo();
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
        for (const { servers, open } of gone) {
          open.letGo();
          servers.retire();
        }
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
    async handOver(hasSuccessor) {
      if (inherited === null && !hasSuccessor) return;
      inherited?.close();
      if (hasSuccessor) for (const { servers } of bounds) servers.stopListening();
      await Promise.all(bounds.map(({ servers }) => servers.lastCalls()));
    },
    async close(flushMs) {
      inherited?.close();
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
  return `${tls} ${proxyProtocol?.mode ?? 'direct'} ${keepAliveTimeout ?? idleConnectionMs}`;
}

function isInTheWay({ address: old, open }: Bound, address: ListenAddress): boolean {
  if (address.kind === 'unix') return old.kind === 'unix' && old.path === address.path;
  return address.port !== 0 && open.port === address.port;
}
