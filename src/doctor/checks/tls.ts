import type { NetworkFailure } from '../network-failure.ts';
import { checksOf, fail, notApplicable, pass, unknown } from './endpoint-check.ts';
import { withTls } from './with-tls.ts';

export const tlsChecks = checksOf('tls', [
  {
    code: 'tls/encrypted',
    title: 'the way over the network is encrypted',
    label: 'encrypted',
    hop: 'client',
    severity: 'error',
    needs: [],
    after: [],
    explanation:
      'With http:// the API key and every tool call can be read and changed by whoever is on the way. Over loopback ' +
      'that is fine; over a network the URL must be https://.',
    judge: ({ target }) => {
      if (target.encrypted) return pass();
      if (target.loopback) return notApplicable('http:// stays on this machine');
      return fail({
        title: 'the URL is http://, so everything can be read on the way',
        cause: target.keyGiven
          ? 'the API key crosses the network in clear'
          : 'nothing protects what is sent and answered',
        severity: target.keyGiven ? 'error' : 'warning',
        evidence: [{ source: 'the URL', observed: target.url, expected: 'https://' }],
        fix: {
          summary:
            'Use the https:// URL of the server, or put TLS in front of it; a key that was sent is to be replaced.',
          commands: [],
        },
      });
    },
  },
  {
    code: 'tls/handshake',
    title: 'the TLS handshake is completed',
    label: 'handshake',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable'],
    explanation:
      'Client and server must agree on a TLS version and a cipher before anything else. This fails when the port ' +
      'speaks plain HTTP, when the server has no certificate for the name, when it wants a client certificate, or ' +
      'when it supports only versions that are no longer spoken.',
    judge: (seen) =>
      withTls(seen, (tls) => {
        if (tls.refused === null) return pass();
        return fail({
          title: handshakeTitle(tls.refused.kind),
          cause: handshakeCause(tls.refused.kind),
          evidence: [
            {
              source: `TLS handshake with ${tls.address}:${seen.target.port} as ${seen.target.host}`,
              observed: `${tls.refused.code ?? tls.refused.kind}: ${opensslWords(tls.refused.message)}`,
              expected: 'TLS 1.2 or 1.3',
            },
          ],
          fix:
            tls.refused.kind === 'not-tls'
              ? { summary: 'Use http:// for this port, or the port on which the server speaks TLS.', commands: [] }
              : {
                  summary: 'See what the TLS side of the server or of its proxy says.',
                  commands: [
                    `openssl s_client -connect ${seen.target.host}:${seen.target.port} -servername ${seen.target.host}`,
                  ],
                },
        });
      }),
  },
  {
    code: 'tls/alpn',
    title: 'clients that speak HTTP/1.1 are let in',
    label: 'HTTP/1.1',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake'],
    explanation:
      'The handshake also agrees on what is spoken behind it (ALPN, RFC 7301). Clients on Node.js and many others offer ' +
      'HTTP/1.1 alone. What offers HTTP/2 alone ends their handshake with "no application protocol", while browsers and ' +
      'curl, which offer both, get through.',
    judge: (seen) =>
      withTls(seen, ({ offers, address }) => {
        if (offers.http1 === null) return unknown('whether HTTP/1.1 is offered could not be found out');
        if (offers.http1) return pass();
        return fail({
          title: 'clients that speak HTTP/1.1 are turned away in the handshake',
          cause: 'what ends TLS offers HTTP/2 alone',
          evidence: [
            {
              source: `TLS handshake with ${address}:${seen.target.port}, offering http/1.1`,
              observed: 'refused: no application protocol',
              expected: 'http/1.1 agreed on',
            },
          ],
          fix: {
            summary:
              'Offer http/1.1 beside h2 where TLS ends; in HAProxy: alpn h2,http/1.1; in Caddy: protocols h1 h2.',
            commands: [],
          },
        });
      }),
  },
  {
    code: 'tls/alpn-kept',
    title: 'HTTP/2 is spoken where the handshake agrees on it',
    label: 'HTTP/2',
    hop: 'tls',
    severity: 'error',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake', 'tls/alpn'],
    explanation:
      'A load balancer that ends TLS and passes bytes on can agree on h2 with the client although the server behind it ' +
      'speaks HTTP/1.1 only. Then curl, browsers and every client that offers HTTP/2 fail at once, while those that offer ' +
      'HTTP/1.1 alone, as Node.js does, work.',
    judge: (seen) =>
      withTls(seen, ({ offers: { http2 }, address }) => {
        if (http2 === null) return unknown('what comes after HTTP/2 was agreed on could not be found out');
        if (http2 === 'not agreed on') return notApplicable('HTTP/2 is not offered');
        if (http2 === 'spoken') return pass();
        return fail({
          title: 'HTTP/2 is agreed on and not spoken',
          cause: 'what ends TLS offers h2 for a server behind it that speaks HTTP/1.1',
          evidence: [
            {
              source: `HTTP/2 at ${address}:${seen.target.port} once it was agreed on`,
              observed: http2 === 'closed' ? 'the connection is closed' : 'an answer that is not HTTP/2',
              expected: 'a SETTINGS frame, or h2 not agreed on',
            },
          ],
          fix: {
            summary:
              'Offer http/1.1 alone where TLS ends (HAProxy: alpn http/1.1), or let that program speak HTTP itself (mode http).',
            commands: [`curl -v --http2 ${seen.target.url}`],
          },
        });
      }),
  },
  {
    code: 'tls/versions',
    title: 'only TLS 1.2 and 1.3 are spoken',
    label: 'versions',
    hop: 'tls',
    severity: 'warning',
    needs: ['tls'],
    after: ['tcp/reachable', 'tls/handshake'],
    explanation:
      'TLS 1.0 and 1.1 must not be used any more (RFC 8996). A server that still accepts them lets an attacker in the ' +
      'middle choose them, and fails every audit.',
    judge: (seen) =>
      withTls(seen, ({ versions: { upTo11, v12, v13 }, protocol, address }) => {
        if (upTo11 === null) return unknown('whether TLS 1.1 is accepted could not be found out');
        const spoken = [...(v12 === true ? ['1.2'] : []), ...(v13 === true ? ['1.3'] : [])];
        if (!upTo11) return pass(spoken.join(', ') || (protocol ?? undefined));
        return fail({
          title: 'TLS 1.1 or older is accepted',
          cause: 'the TLS settings of the server or of its proxy allow versions older than 1.2',
          evidence: [
            { source: `TLS handshake with ${address}, at most 1.1`, observed: 'completed', expected: 'refused' },
          ],
          fix: { summary: 'Allow 1.2 and 1.3 only; in nginx: ssl_protocols TLSv1.2 TLSv1.3;', commands: [] },
        });
      }),
  },
]);

type Kind = NetworkFailure['kind'];

function handshakeTitle(kind: Kind): string {
  const titles: Partial<Record<Kind, string>> = {
    'not-tls': 'the port does not speak TLS',
    'timed-out': 'the TLS handshake gets no answer',
    reset: 'the connection is cut during the TLS handshake',
  };
  return titles[kind] ?? 'the TLS handshake is refused';
}

function handshakeCause(kind: Kind): string {
  const causes: Partial<Record<Kind, string>> = {
    'not-tls': 'plain HTTP (or another protocol) is served on this port',
    'timed-out':
      'something accepts connections there and does not speak: a hung process, or a filter that swallows TLS',
    reset: 'the server has no certificate for this name, or a filter on the way cuts the connection',
    'tls-refused': 'no common version or cipher, no certificate for this name, or a client certificate is wanted',
  };
  return causes[kind] ?? 'undetermined';
}

/** OpenSSL's message without its addresses and source lines. */
function opensslWords(message: string): string {
  return /:SSL routines:[^:]*:([^:]+):/.exec(message)?.[1] ?? message.split('\n')[0] ?? message;
}
