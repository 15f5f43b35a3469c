/** What is asked of an ACME authority (RFC 8555). Paths are absolute; secrets are named by their files. */
export interface AcmeOrder {
  readonly directoryUrl: string;
  readonly caFile: string | null;
  readonly names: readonly string[];
  readonly agreeTos: boolean;
  readonly email: string | null;
  readonly eab: { readonly keyId: string; readonly keyFile: string } | null;
  readonly profile: string | null;
  readonly challenge: AcmeChallenge;
  readonly timeoutMs: number;
}

/** How control over the names is proven. */
export type AcmeChallenge =
  | { readonly type: 'http-01'; readonly listen: string }
  | { readonly type: 'http-01'; readonly webroot: string }
  | { readonly type: 'tls-alpn-01'; readonly listen: string }
  | {
      readonly type: 'dns-01';
      readonly hook: readonly string[];
      readonly cwd: string;
      readonly dnsServers: readonly string[];
      readonly propagationMs: number;
    };
