import { proxyNotices } from '../proxy-notices.ts';
import { describeProxySite } from '../proxy-site.ts';
import type { TargetCommands, TargetInput } from '../types.ts';

/** Traefik reads the folder again by itself, and has no command that judges a file: it logs what it cannot use. */
export function planTraefikCommands(input: TargetInput): TargetCommands {
  const site = describeProxySite(input);
  return {
    check: [],
    install: [],
    restart: [],
    remove: [],
    notices: [
      'Traefik takes the file in by itself when it runs with --providers.file.directory=/etc/traefik/dynamic; what it cannot use it says in its log only.',
      'The entry points are called web and websecure, as in Traefik’s own documentation.',
      'Set --entryPoints.websecure.transport.respondingTimeouts.readTimeout=0: the 60 s that Traefik 3 gives a request end slow uploads.',
      ...(site.certificate.kind === 'public-authority'
        ? ['The certificate comes from the resolver "letsencrypt" of Traefik’s own configuration.']
        : []),
      ...(site.proxyProtocolFrom.length === 0
        ? []
        : [
            `proxy.proxyProtocolFrom is a setting of the entry points: --entryPoints.websecure.proxyProtocol.trustedIPs=${site.proxyProtocolFrom.join(',')}, the same for web.`,
          ]),
      ...(site.clientCertificates === null
        ? []
        : [
            'Traefik asks for the client certificate in every handshake, also when health is asked, and tells the subject in X-Forwarded-Tls-Client-Cert-Info, whatever proxy.clientHeader says.',
          ]),
      ...(site.metricsFrom.length === 0
        ? []
        : [
            'Traefik always says for whom it asks: name the networks of proxy.metricsFrom in server.metricsFrom too, or scrape the server itself.',
          ]),
      'Traefik has no limit of the size of a request that would not hold back answers as well: limits.bodyBytes of the server holds. Its own errors are plain text.',
      ...proxyNotices(input),
    ],
  };
}
