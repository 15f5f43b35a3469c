import type { Server } from 'node:net';
import type { ListenAddress } from '../../deployment/listen-address.ts';

const open = new Map<Server, ListenAddress>();

/** Remembers, of this process, where a server listens, until it is closed: a successor gets the socket as it is. */
export function noteListening(server: Server, address: ListenAddress): void {
  open.set(server, address);
  server.once('close', () => open.delete(server));
}

/** The listening TCP sockets of this process with their descriptors. A Unix socket is left out: its file goes with its server. */
export function listeningPlaces(): readonly { readonly fd: number; readonly address: ListenAddress }[] {
  return [...open].flatMap(([server, address]) => {
    // Node has no other way to the descriptor of a server; undefined where there is none, such as on Windows.
    const handle = Reflect.get(server, '_handle') as { readonly fd?: unknown } | null | undefined;
    const fd = handle?.fd;
    return server.listening && address.kind === 'tcp' && typeof fd === 'number' && fd >= 0 ? [{ fd, address }] : [];
  });
}
