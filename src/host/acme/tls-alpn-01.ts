import { createSecureContext, createServer, type SecureContext, type Server } from 'node:tls';
import type { ChallengeSolver, ChallengeTask } from './challenge.ts';
import { listenForChallenges } from './challenge-listener.ts';

/** Makes the certificate that proves a name (RFC 8737, 3): injected, since acme-client has it and is loaded late. */
export type MakeAlpnCertificate = (
  name: string,
  keyAuthorization: string,
) => Promise<{ readonly keyPem: string; readonly certificatePem: string }>;

/** tls-alpn-01 (RFC 8737) by a listener of our own. @param listen `:443`, `host:port` */
export function createAlpnSolver(listen: string, makeCertificate: MakeAlpnCertificate): ChallengeSolver {
  const contexts = new Map<string, SecureContext>();
  let server: Server | null = null;
  return {
    async present(task) {
      const { keyPem, certificatePem } = await makeCertificate(task.name, task.keyAuthorization);
      const pair = { key: keyPem, cert: certificatePem };
      contexts.set(serverNameOf(task), createSecureContext(pair));
      if (server !== null) return;
      const made = createServer(
        {
          ...pair,
          ALPNProtocols: ['acme-tls/1'],
          SNICallback: (name, done) => done(null, contexts.get(name.toLowerCase())),
        },
        (socket) => socket.end(),
      );
      made.on('tlsClientError', (_, socket) => socket.destroy());
      await listenForChallenges(made, listen, 'tls-alpn-01');
      server = made;
    },
    async close() {
      await new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())));
      server = null;
      return [];
    },
  };
}

/** The SNI that the CA sends: the name, and for an address its reverse name (RFC 8738, 6). */
function serverNameOf({ kind, name }: ChallengeTask): string {
  if (kind === 'dns') return name.toLowerCase();
  if (!name.includes(':')) return `${name.split('.').toReversed().join('.')}.in-addr.arpa`;
  return `${fullIpv6(name).split('').toReversed().join('.')}.ip6.arpa`;
}

/** The 32 hexadecimal digits of an IPv6 address. */
function fullIpv6(address: string): string {
  const [head = '', tail = ''] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...(address.includes('::') ? zeros : []), ...after].map((part) => part.padStart(4, '0')).join('');
}
