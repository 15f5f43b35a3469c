import type { NetworkFailure } from './network-failure.ts';
import type { CertificateDescription } from '../pki/describe-certificate.ts';
import type { AuditSeen, MachineSeen } from './machine-observations.ts';
import type { CertificateProblem } from '../pki/certificate-problem.ts';

/**
 * What the probes saw: plain data, one member per probe, and the only thing
 * that checks judge. `failed` means that the look itself did not come about,
 * `skipped` that it was not tried.
 */
export interface Observations extends WaySeen {
  readonly target: TargetFacts;
  readonly name: Observed<NameSeen>;
  readonly tcp: Observed<TcpSeen>;
  readonly tls: Observed<TlsSeen>;
  readonly limits: Observed<LimitsSeen>;
  readonly host: Observed<HostSeen>;
  readonly machine: Observed<MachineSeen>;
  readonly audit: Observed<AuditSeen>;
  /** The same looks at the server itself, past everything that stands in front of it. */
  readonly direct: Observed<DirectSeen>;
  /** Configuration of the proxy in front, when it lies on this machine. */
  readonly proxyConfig: Observed<ProxyConfigSeen>;
}

/** What can be seen behind name, TCP and TLS: the looks that can also be taken at the server directly. */
export interface WaySeen {
  readonly answers: Observed<AnswersSeen>;
  readonly wellKnown: Observed<WellKnownSeen>;
  readonly health: Observed<HealthSeen>;
  readonly metrics: Observed<MetricsSeen>;
  readonly modern: ClientObserved;
  readonly legacy: ClientObserved;
  readonly session: Observed<SessionSeen>;
  readonly sessionUse: Observed<SessionUseSeen>;
  readonly stream: Observed<StreamSeen>;
  readonly idle: Observed<IdleSeen>;
  readonly sizes: Observed<SizesSeen>;
  readonly errors: Observed<ErrorsSeen>;
  readonly guards: Observed<GuardsSeen>;
  readonly cors: Observed<CorsSeen>;
}

export interface DirectSeen {
  readonly url: string;
  readonly way: WaySeen;
}

export interface ProxyConfigSeen {
  readonly program: 'nginx' | 'caddy' | 'haproxy';
  /** The main file first, then what it includes; as `nginx -T` prints them. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
}

export type Observed<T> = ({ readonly status: 'ok' } & T) | NotSeen;

export type NotSeen =
  | { readonly status: 'failed'; readonly reason: string; readonly failure: NetworkFailure | null }
  | { readonly status: 'skipped'; readonly reason: string };

export interface TargetFacts {
  readonly url: string;
  readonly encrypted: boolean;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** The host is localhost or a loopback address. */
  readonly loopback: boolean;
  /** This folder's deployment. */
  readonly own: boolean;
  /** Own deployment: it is meant to refuse callers without a key. */
  readonly keysRequired: boolean;
  readonly keyGiven: boolean;
  /** What is odd about the given key, without any part of it; null when nothing is. */
  readonly keyFlaw: 'contains white space' | 'starts with the word Bearer' | null;
  readonly caGiven: boolean;
  /** Why no requests are sent until the server refuses them; null when they are. */
  readonly limitsNotTried: string | null;
  /** ISO 8601, UTC: when the look began, by the clock of this machine. */
  readonly at: string;
}

export interface NameSeen {
  /** The URL holds an address, so there was nothing to look up. */
  readonly literal: boolean;
  readonly v4: readonly string[];
  readonly v6: readonly string[];
  /** How long the look-up took; absent when there was nothing to look up. */
  readonly durationMs?: number;
}

export interface TcpSeen {
  readonly attempts: readonly TcpAttempt[];
}

export interface TcpAttempt {
  readonly address: string;
  readonly family: 4 | 6;
  readonly outcome:
    | { readonly connected: true; readonly durationMs: number }
    | { readonly connected: false; readonly failure: NetworkFailure };
}

export interface TlsSeen {
  readonly address: string;
  /** Why the ordinary handshake was not completed, certificate questions apart; then nothing else is known. */
  readonly refused: NetworkFailure | null;
  readonly protocol: string | null;
  readonly alpn: string | null;
  readonly offers: {
    /** A client that speaks HTTP/1.1 alone is let in; null: not found out. */
    readonly http1: boolean | null;
    /** What came once HTTP/2 was agreed on; null: not found out. */
    readonly http2: 'spoken' | 'not agreed on' | 'something else' | 'closed' | null;
  };
  /** Which versions the server lets in; null when it was not found out. */
  readonly versions: { readonly upTo11: boolean | null; readonly v12: boolean | null; readonly v13: boolean | null };
  /** Who vouches for the certificate; null when nobody. */
  readonly trustedBy: 'given CA' | 'public roots' | null;
  /** OpenSSL's complaint when nobody vouches, for example SELF_SIGNED_CERT_IN_CHAIN. */
  readonly trustError: string | null;
  readonly nameMatches: boolean;
  /** Where the last certificate that was sent says its issuer can be had (RFC 5280, 4.2.2.1); null when it does not. */
  readonly issuerUrl: string | null;
  /** As served, leaf first. */
  readonly chain: readonly CertificateDescription[];
  /** A CA of the chain says for which addresses it may sign, and the certificate has one: BoringSSL refuses that. */
  readonly constrainsAddresses: boolean;
  /** What is wrong with the chain, name, dates and strength, judged offline. */
  readonly problems: readonly CertificateProblem[];
  /** How long the ordinary handshake took, the connection included. */
  readonly durationMs?: number;
}

/** One HTTP exchange, cut to what is judged. The API key never occurs in it. */
export type Answer =
  | {
      readonly kind: 'answered';
      /** What was asked: "POST initialize", "GET /health". */
      readonly to: string;
      readonly status: number;
      /** Lower-case names. */
      readonly headers: Readonly<Record<string, string>>;
      /** At most 2,000 characters, control characters removed. */
      readonly bodyStart: string;
      /** The body, when it was complete JSON; for an event stream its first message. */
      readonly json: unknown;
      readonly durationMs: number;
      /** ISO 8601, UTC: when the head came, by the clock of this machine. */
      readonly receivedAt: string;
    }
  | {
      readonly kind: 'failed';
      readonly to: string;
      readonly failure: NetworkFailure;
      /** What had come of an answer that was not finished; null or left out: nothing. */
      readonly head?: { readonly status: number; readonly contentType: string } | null;
    };

/**
 * The same harmless request with different keys: server/discover, or
 * initialize where that says nothing of keys. Null: there was no key to try.
 */
export interface AnswersSeen {
  readonly noKey: Answer;
  readonly wrongKey: Answer | null;
  readonly bearer: Answer | null;
  readonly xApiKey: Answer | null;
  /** The right key behind the word `bearer` in small letters. */
  readonly smallBearer: Answer | null;
  /** What server/discover itself was answered, with the key when there is one. */
  readonly discovered: Answer;
}

export interface WellKnownSeen {
  readonly answers: readonly { readonly path: string; readonly answer: Answer }[];
  /** The document that the challenge of the 401 names, when it names one on the same origin. */
  readonly resourceMetadata: { readonly url: string; readonly answer: Answer | null } | null;
}

export interface HealthSeen {
  readonly health: Answer;
  readonly ready: Answer;
  /** GET /status with the key: how the programs behind the server are, and since when. */
  readonly programs: Answer;
}

export interface ClientSeen {
  /** The era in which the client ended up. */
  readonly era: 'legacy' | 'modern';
  readonly protocolVersion: string;
  readonly server: { readonly name: string; readonly version: string };
  /** Null when the server does not declare tools. */
  readonly toolCount: number | null;
  readonly called: { readonly tool: string; readonly durationMs: number; readonly isError: boolean } | null;
  /** The server gave a session id. */
  readonly session: boolean;
  readonly connectMs: number;
}

export interface ClientStuck {
  readonly status: 'stuck';
  readonly stage: 'connect' | 'list' | 'call';
  /** The tool, when stuck in a call. */
  readonly tool: string | null;
  /** What the client said. */
  readonly message: string;
  /** The exchange on which it gave up. */
  readonly last: {
    readonly rpcMethod: string | null;
    readonly status: number | null;
    readonly contentType: string | null;
    readonly retryAfter: string | null;
    readonly failure: NetworkFailure | null;
  } | null;
}

export type ClientObserved = Observed<ClientSeen> | ClientStuck;

export interface SessionSeen {
  readonly answer: Answer;
}

/** One session, used as clients use it. Null members: the server gave no session. */
export interface SessionUseSeen {
  /** initialize was answered with a result. */
  readonly initialized: boolean;
  /** What it was answered otherwise; null when a result came. */
  readonly refusal: Answer | null;
  readonly opened: boolean;
  /** The same request over connections of its own, each. */
  readonly answers: readonly Answer[];
  /** The session id without the key; null when there is no key. */
  readonly withoutKey: Answer | null;
  /** The session id with a key that was never given out; null when there is no key. */
  readonly wrongKey: Answer | null;
  /** The session id with another good key; null when there is no other. */
  readonly otherKey: Answer | null;
  /** A second session beside the first; null when the server gave no first. */
  readonly second: SecondSession | null;
  /** With an MCP-Protocol-Version that never existed, which has to be refused (transport, protocol version header). */
  readonly badRevision: Answer | null;
}

export type SecondSession =
  /** What its initialize was answered. */
  | { readonly opened: false; readonly answer: Answer }
  | {
      readonly opened: true;
      /** It has the id of the first. */
      readonly sameId: boolean;
      /** The same request in both, at once. */
      readonly inFirst: Answer;
      readonly inSecond: Answer;
    };

/** What a stranger is answered at the paths of the operator. */
export interface MetricsSeen {
  /** GET /metrics without a key. */
  readonly open: Answer;
  /** GET /metrics with the key; null when there is none or the server is not ours. */
  readonly withKey: Answer | null;
}

/** A stream that nothing is asked of, watched for long. */
export interface IdleSeen {
  readonly watchedMs: number;
  /** When the other side ended it; null while it was open. */
  readonly endedAfterMs: number | null;
  /** Longest silence, milliseconds. */
  readonly longestSilenceMs: number;
  /** When something came, from the request on: the first 64 times. */
  readonly heardAtMs?: readonly number[];
}

/** The same harmless request, made large. */
export interface SizesSeen {
  readonly bodyBytes: number;
  readonly body: Answer;
  readonly headerBytes: number;
  readonly header: Answer;
}

/** What is answered to requests that are wrong. */
export interface ErrorsSeen {
  /** A body that ends in the middle of its JSON. */
  readonly malformed: Answer;
}

/** Requests as only a page of a stranger makes them. */
export interface GuardsSeen {
  readonly foreignOrigin: Answer;
  /** Null where DNS rebinding cannot reach: TLS, or an address beyond this machine. */
  readonly foreignHost: Answer | null;
}

/** A browser page of this origin, before and while it calls. */
export interface CorsSeen {
  readonly origin: string;
  /** The deployment says that pages of this origin may call. */
  readonly promised: boolean;
  readonly preflight: Answer;
  /** The same before a DELETE, with which a page ends its session. */
  readonly preflightDelete: Answer;
  readonly actual: Answer;
}

export interface StreamSeen {
  /** GET with a session (legacy) or subscriptions/listen (modern). */
  readonly kind: 'get' | 'listen';
  /** Null: the server does not offer such a stream (405). */
  readonly opened: {
    /** Null: no head while it was watched. */
    readonly headersMs: number | null;
    /** Null: no byte while it was watched. */
    readonly firstByteMs: number | null;
    /** What came after it. */
    readonly heardAtMs?: readonly number[];
    readonly watchedMs: number;
  } | null;
  /** The same with the Accept-Encoding that clients send. */
  readonly compressed?: {
    /** Content-Encoding of the answer; null: as it is. */
    readonly encoding: string | null;
    readonly headersMs: number | null;
    readonly watchedMs: number;
  } | null;
}

export interface LimitsSeen {
  readonly sent: number;
  readonly durationMs: number;
  /** The first 429, or null. */
  readonly refusal: Answer | null;
  /** One call with another good key right behind it; null: there was no 429, or no other key is known. */
  readonly otherKey: Answer | null;
  /** What a call got once the time of Retry-After was over, or why none was sent; null: there was no 429. */
  readonly recovery: { readonly waitedMs: number; readonly answer: Answer } | string | null;
  /** From RateLimit-Policy: the largest quota declared, or null. */
  readonly declared: { readonly quota: number; readonly windowSeconds: number | null } | null;
  /** The status most requests got before. */
  readonly usualStatus: number;
  /** Every answer in the order in which it came, from the first request on. */
  readonly answered?: readonly { readonly atMs: number; readonly status: number }[];
}

export interface HostSeen {
  readonly serverRunning: boolean;
  readonly files: readonly FileSeen[];
  /** SHA-256 of the certificate file's first certificate; null when it is missing or unreadable. */
  readonly certificateFingerprint: string | null;
  /** Whether the private key file belongs to the certificate file; null when either could not be read. */
  readonly keyMatches: boolean | null;
  /** `none`: the deployment asks for no key. */
  readonly keyStore: 'fine' | 'damaged' | 'missing' | 'none';
  /** Of keys that are accepted now. */
  readonly keys: readonly { readonly id: string; readonly label: string; readonly ageDays: number }[] | null;
  /** What the applied deployment lets one key do; null when it could not be read. */
  readonly callLimit: { readonly atOnce: number; readonly perSecond: number } | 'off' | null;
  readonly disk: { readonly freeBytes: number; readonly path: string } | null;
}

export interface FileSeen {
  readonly path: string;
  readonly what: 'state folder' | 'CA key' | 'server key' | 'key store' | 'API key' | 'certificate' | 'CA certificate';
  /** Nobody but the owner may read it. */
  readonly secret: boolean;
  /** As a service of the host: the group of the service has to read it as well. */
  readonly groupReads?: boolean;
  /** Permission bits, or null when it does not exist or cannot be looked at. */
  readonly mode: number | null;
}
