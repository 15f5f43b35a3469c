import type { Server } from 'node:net';
import { parseListenAddress } from '../../deployment/listen-address.ts';
import { EnvironmentError } from '../../deployment/errors.ts';
import { hasCode } from '../file-errors.ts';
import { findPortHolder } from '../port-holder.ts';

/** Opens the listener that a challenge needs. @throws EnvironmentError that says who holds the port, or that it needs a right */
export async function listenForChallenges(server: Server, listen: string, challenge: string): Promise<void> {
  const address = parseListenAddress(listen);
  if (address.kind !== 'tcp') throw new Error('challenges are answered on TCP');
  const host = address.host === '' || address.host === '*' ? undefined : address.host;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port: address.port, ...(host === undefined ? {} : { host }) }, () => {
        server.off('error', reject);
        // A connection that breaks later is the caller's affair, never ours.
        server.on('error', () => {});
        resolve();
      });
    });
  } catch (error) {
    throw await explain(error, { ...address, challenge });
  }
}

async function explain(
  error: unknown,
  { port, challenge }: { readonly port: number; readonly challenge: string },
): Promise<unknown> {
  if (hasCode(error, 'EADDRINUSE')) {
    const { holder } = await findPortHolder(port);
    return new EnvironmentError(`Port ${port} is taken${holder === null ? '' : ` by ${holder}`}.`, {
      why: `The answer to the ${challenge} challenge must stand there for a moment.`,
      next:
        challenge === 'http-01'
          ? 'Let that web server serve it: set tls.webroot to the folder that it serves. Or use challenge: dns-01.'
          : 'Use challenge: http-01 or dns-01, which leave that port alone.',
      cause: error,
    });
  }
  if (hasCode(error, 'EACCES')) {
    return new EnvironmentError(`This user may not listen on port ${port}.`, {
      why: 'Ports below 1024 are for root, or for programs that have CAP_NET_BIND_SERVICE.',
      next: 'Run the command with sudo, lead the port to another one (tls.listen), or use challenge: dns-01.',
      cause: error,
    });
  }
  return new EnvironmentError(`The challenge listener on port ${port} cannot be opened.`, {
    why: error instanceof Error ? error.message : String(error),
    next: 'Set tls.listen to an address of this machine, for example :80.',
    cause: error,
  });
}
