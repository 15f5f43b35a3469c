import { closeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { ListenAddress } from '../../deployment/listen-address.ts';
import { noteListening } from '../http/listening-places.ts';
import type { Log } from '../observe/log.ts';
import { readInheritedPlaces, type InheritedPlace } from './inherited-places.ts';

/**
 * Listening sockets that systemd holds and this process only accepts on: while the process is away, connections wait in
 * them, and nobody is refused.
 */
export interface InheritedSockets {
  /** Says which of them no listener has asked for: clients that connect there wait for ever. What is ours alone is closed. */
  warnOfUnused(log: Log): void;
  /**
   * Gives the connections of the socket at this address to a server, by its event `connection`; in place of another
   * server that has them, until it lets go. Null when there is no such socket.
   * @returns what lets go of it
   */
  attach(address: ListenAddress, server: Server): Promise<(() => void) | null>;
  /** Takes no more connections: from now on they wait for the next process. */
  close(): void;
}

/** As many as the kernel allows wait while no process accepts. */
const mostWaiting = 65_535;
const maxConnections = 50_000;

/**
 * The sockets that systemd handed to this process, or the server before it; null when nobody handed one over.
 * @param handedOver those of the server before
 */
export function openInheritedSockets(
  env: NodeJS.ProcessEnv,
  handedOver: readonly InheritedPlace[] | null = null,
): InheritedSockets | null {
  const places = handedOver ?? readInheritedPlaces(env);
  // They are for this process, and for none that it starts.
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete env[name];
  return places.length === 0 ? null : createInheritedSockets(places, handedOver !== null);
}

function createInheritedSockets(places: readonly InheritedPlace[], isOurs: boolean): InheritedSockets {
  const sockets = places.map((place) => ({ place, holder: null as Promise<Server> | null, takers: [] as Server[] }));
  type Held = (typeof sockets)[number];
  let closed = false;

  /** One server has the descriptor to the end of the process, since a descriptor that is closed here is gone. */
  async function hold(held: Held, pauseOnConnect: boolean): Promise<Server> {
    const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect });
    server.maxConnections = maxConnections;
    server.on('connection', (socket) => {
      const taker = held.takers.at(-1);
      if (taker === undefined) socket.destroy();
      else taker.emit('connection', socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd: held.place.fd, backlog: mostWaiting }, () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
    // A reload or a moment without descriptors must not end the process.
    server.on('error', () => {});
    noteListening(server, held.place.address);
    if (closed) server.close();
    return server;
  }

  return {
    warnOfUnused(log) {
      for (const { holder, place } of sockets) {
        if (holder !== null) continue;
        if (isOurs) {
          // Nobody else holds it: who connects there is to be refused, and not to wait for ever.
          closeSync(place.fd);
          continue;
        }
        const next = 'name it in server.listen, or render the socket unit again';
        log.warn('listen.socket-without-address', { address: place.address, next });
      }
    },
    async attach(address, server) {
      const held = sockets.find(({ place }) => isSame(place.address, address));
      if (held === undefined) return null;
      held.takers.push(server);
      // What the primary of several workers gives on must not have been read from before.
      held.holder ??= hold(held, Reflect.get(server, 'pauseOnConnect') === true);
      await held.holder;
      return () => {
        held.takers.splice(held.takers.indexOf(server), 1);
      };
    },
    close() {
      closed = true;
      for (const { holder } of sockets) void holder?.then((server) => server.close());
    },
  };
}

function isSame(one: ListenAddress, other: ListenAddress): boolean {
  if (one.kind === 'unix') return other.kind === 'unix' && one.path === other.path;
  return other.kind === 'tcp' && one.host === other.host && one.port === other.port;
}
