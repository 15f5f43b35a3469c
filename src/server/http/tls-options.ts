import { constants } from 'node:crypto';
import type { ServerOptions } from 'node:http';
import type { ServedCertificate } from './certificate-files.ts';

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

/** How a server speaks TLS with this certificate, beside the options given. */
export function tlsOptions(options: ServerOptions, { certificate, key }: ServedCertificate, profile: TlsProfile) {
  const minVersion = profile === 'modern' ? ('TLSv1.3' as const) : ('TLSv1.2' as const);
  return {
    ...options,
    cert: certificate,
    key,
    minVersion,
    ciphers,
    ecdhCurve,
    handshakeTimeout: 10_000,
    // A client of TLS 1.2 could ask for one handshake after another on one connection (CVE-2011-1473); nobody needs it.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
}
