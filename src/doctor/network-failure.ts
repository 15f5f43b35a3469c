/** Why a connection did not come about, told apart by what a person would do about it. */
export type NetworkFailureKind =
  | 'name-unknown'
  | 'refused'
  | 'unreachable'
  | 'timed-out'
  | 'reset'
  | 'not-tls'
  | 'tls-refused'
  | 'untrusted'
  | 'wrong-name'
  | 'expired'
  | 'not-yet-valid'
  | 'aborted'
  | 'too-large'
  | 'other';

export interface NetworkFailure {
  readonly kind: NetworkFailureKind;
  /** Node's or OpenSSL's own code where there is one, for example ECONNREFUSED. */
  readonly code: string | null;
  readonly message: string;
}

const kindByCode: Readonly<Record<string, NetworkFailureKind>> = {
  ENOTFOUND: 'name-unknown',
  EAI_AGAIN: 'name-unknown',
  EAI_NODATA: 'name-unknown',
  EAI_NONAME: 'name-unknown',
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  ETIMEDOUT: 'timed-out',
  ESOCKETTIMEDOUT: 'timed-out',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  ABORT_ERR: 'aborted',
  ERR_RESPONSE_TOO_LARGE: 'too-large',
  HPE_INVALID_CONSTANT: 'other',
  ERR_TLS_CERT_ALTNAME_INVALID: 'wrong-name',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'timed-out',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not-tls',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'not-tls',
  ERR_SSL_HTTP_REQUEST: 'not-tls',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  CERT_SIGNATURE_FAILURE: 'untrusted',
  CERT_UNTRUSTED: 'untrusted',
  CERT_REJECTED: 'untrusted',
  CERT_REVOKED: 'untrusted',
  INVALID_CA: 'untrusted',
  INVALID_PURPOSE: 'untrusted',
  PERMITTED_SUBTREE_VIOLATION: 'untrusted',
};

/** Reads the failure out of whatever was thrown: the causes of a fetch error and the parts of an AggregateError too. */
export function describeNetworkFailure(thrown: unknown): NetworkFailure {
  const chain = errorsOf(thrown);
  for (const error of chain) {
    const code = codeOf(error);
    const known = code === null ? undefined : kindByCode[code];
    if (known !== undefined) return { kind: known, code, message: error.message };
    // Every other handshake complaint of OpenSSL: no shared version or cipher, an alert, a demanded client certificate.
    // When the complaint comes while writing, Node has only EPROTO and OpenSSL's text.
    if (code !== null && (code.startsWith('ERR_SSL_') || code === 'EPROTO')) {
      const notTls = /wrong version number|packet length too long|http request/.test(error.message);
      return { kind: notTls ? 'not-tls' : 'tls-refused', code, message: error.message };
    }
    if (error.name === 'TimeoutError') return { kind: 'timed-out', code: 'ETIMEDOUT', message: error.message };
    if (error.name === 'AbortError') return { kind: 'aborted', code: 'ABORT_ERR', message: error.message };
  }
  const last = chain.at(-1);
  return { kind: 'other', code: last ? codeOf(last) : null, message: last?.message ?? String(thrown) };
}

function errorsOf(thrown: unknown): readonly Error[] {
  const found: Error[] = [];
  const queue: unknown[] = [thrown];
  while (queue.length > 0 && found.length < 20) {
    const next = queue.shift();
    if (!(next instanceof Error) || found.includes(next)) continue;
    found.push(next);
    if (next.cause !== undefined) queue.push(next.cause);
    if (next instanceof AggregateError) queue.push(...next.errors);
  }
  return found;
}

function codeOf(error: Error): string | null {
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' ? code : null;
}
