import type { AcmeChallenge } from '../plan/acme-order.ts';

/** What is needed to act on an account of an ACME authority. */
export interface AcmeAccountSpec {
  readonly directoryUrl: string;
  /** Trusted for the directory beside the public authorities. */
  readonly caPem: string | null;
  /** PKCS#8. */
  readonly accountKeyPem: string;
  readonly agreeTos: boolean;
  readonly email: string | null;
  readonly eab: { readonly keyId: string; readonly hmacKey: string } | null;
  readonly userAgent: string;
}

export interface AcmeOrderSpec extends AcmeAccountSpec {
  readonly names: readonly string[];
  readonly challenge: AcmeChallenge;
  readonly profile: string | null;
  /** The private key to keep; a new one is made when null. */
  readonly keyPem: string | null;
  /** The certificate that this one replaces (RFC 9773, 5), where the authority wants to know. */
  readonly replacesPem: string | null;
  /** Longest wait for one decision of the authority. */
  readonly timeoutMs: number;
}
