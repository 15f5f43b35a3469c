import { dirname, join } from 'node:path';
import type { Action, ReplacedServer } from '../plan/action.ts';
import type { LiveSocket } from '../plan/live-certificate.ts';
import type { AcmeOrderSpec } from './acme-types.ts';

/**
 * What the interpreter of steps needs from the outside. host/ implements
 * these; tests wrap them to fail, fill the disk or kill the process at the
 * k-th effect.
 */

export interface FileSystem {
  /** Bytes, or null when there is no such file. Throws on anything else. */
  read(path: string): Promise<Buffer | null>;
  stat(path: string): Promise<FileStat | null>;
  list(path: string): Promise<readonly string[]>;
  /** All or nothing: written beside (`PATH.mcpd-tmp`), fsynced, renamed, folder fsynced. */
  writeAtomic(path: string, content: Buffer | string, mode: number, owner?: FileOwner): Promise<void>;
  /** Writes into the file as it is, which keeps owner, mode and label; false when it is not there. A reader may meet half of it. */
  overwrite(path: string, content: Buffer | string): Promise<boolean>;
  /** Makes or replaces a symbolic link in one step; false where the disk or the system has none. */
  linkAtomic(path: string, target: string): Promise<boolean>;
  /** Appends one line and fsyncs: the journal. */
  appendDurably(path: string, line: string, mode: number): Promise<void>;
  /** Creates the file with this content only if it does not exist; false when it does. Atomic: the lock. */
  createExclusive(path: string, content: string, mode: number): Promise<boolean>;
  makeDirectory(path: string, mode: number): Promise<void>;
  /** No error when it is already gone. */
  removeFile(path: string): Promise<void>;
  /** False when it is not empty. No error when it is already gone. */
  removeEmptyDirectory(path: string): Promise<boolean>;
  removeTree(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, owner: FileOwner): Promise<void>;
}

/** As the system counts them. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  /** Of a link: what it points to, as it says. */
  readonly target?: string;
  readonly mode: number;
  readonly size: number;
  readonly owner: FileOwner;
}

/** Where a server in a folder is asked to leave its place to another one. */
export function handOverSocketOf(pidFile: string): string {
  return join(dirname(pidFile), 'hand-over.sock');
}

export interface Processes {
  /** Starts it detached, output appended to logFile, and writes pidFile; resolves once it is spawned. */
  startServer(spec: Extract<Action, { type: 'start-server' }>): Promise<{ readonly pid: number }>;
  /**
   * Asks the server that runs to hand its sockets to this one and to end; one that cannot is stopped first. Resolves with the number
   * of the new one, which begins when the old one has ended.
   */
  replaceServer(spec: ReplacedServer): Promise<{ readonly pid: number; readonly handedOver: boolean }>;
  /** SIGTERM, then SIGKILL after graceMs; resolves when it is gone. No error when it was not running. */
  stopServer(pidFile: string, graceMs: number): Promise<void>;
  /** SIGHUP. No error when it does not run. */
  reloadServer(pidFile: string): Promise<void>;
  /** Runs a program of the user's to its end, without a shell; exitCode null when it was too slow or could not start. */
  run(argv: readonly string[], timeoutMs: number, options?: RunOptions): Promise<Ran>;
  /** Runs a program for as long as `use` takes, which gets the first line that matches; it ends also when this process is killed. */
  runBeside<T>(
    argv: readonly string[],
    ready: { readonly line: RegExp; readonly timeoutMs: number },
    use: (line: string) => Promise<T>,
  ): Promise<T>;
  /** A variable of the environment of this command; null when it is not set. */
  variable(name: string): string | null;
  serverState(
    pidFile: string,
  ): Promise<{ readonly state: 'running'; readonly pid: number } | { readonly state: 'stopped' }>;
  /** Identity of a process that survives pid reuse, or null when it is gone. */
  identity(pid: number): Promise<string | null>;
  readonly self: { readonly pid: number; readonly identity: string; readonly hostName: string };
}

export interface RunOptions {
  /** What it reads; nothing by default. */
  readonly input?: string;
  /** Most that is kept of its output; 100 kB by default. */
  readonly outputBytes?: number;
  /** How many of its last words are kept; 5 lines by default. */
  readonly lastLines?: number;
}

/** How a program ended. */
export interface Ran {
  readonly exitCode: number | null;
  /** Of what it said, errors first. */
  readonly lastWords: readonly string[];
  /** Its standard output. */
  readonly output: string;
}

/** Certificates and keys, so that the interpreter stays free of crypto. Bytes only; the interpreter writes them. */
export interface Issuer {
  privateCa(spec: {
    commonName: string;
    names: readonly string[];
  }): Promise<{ certificatePem: string; keyPem: string }>;
  certificate(spec: {
    caCertificatePem: string;
    caKeyPem: string;
    names: readonly string[];
    validDays: number;
  }): Promise<{ certificatePem: string; keyPem: string }>;
  /** PKCS#8 of a new account key. */
  acmeAccountKey(): Promise<string>;
  /** A certificate from an ACME authority; what stood for its challenges is gone when this settles, or named. */
  acme(
    spec: AcmeOrderSpec,
    run: { readonly signal: AbortSignal; readonly onDoing: (text: string) => void },
  ): Promise<{ certificatePem: string; keyPem: string; leftBehind: readonly string[] }>;
  /** When the authority wants a certificate renewed (RFC 9773), ISO 8601; null when it does not say. */
  renewalWindow(
    certificatePem: string,
    authority: { readonly directoryUrl: string; readonly caPem: string | null },
    signal: AbortSignal,
  ): Promise<{ readonly start: string; readonly end: string } | null>;
  apiKey(spec: { storeText: string | null; label: string }): Promise<{ storeText: string; key: string }>;
}

/** Looks at the live endpoint. */
export interface Endpoint {
  /** One GET; null when nothing answers. */
  ready(url: string, caPem: string | null): Promise<{ readonly status: number; readonly body: string } | null>;
  /** A TCP port of 127.0.0.1 that nobody listens on at this moment. */
  freePort(): Promise<number>;
  /** Who listens on a port of all addresses, where the system tells. */
  portHolder(port: number): Promise<{ readonly taken: boolean; readonly holder: string | null }>;
  /** The leaf that one live TLS socket shows, by a handshake of its own; it need not be trusted. */
  servedFingerprint(
    socket: LiveSocket,
    timeoutMs: number,
  ): Promise<{ readonly fingerprint256: string } | { readonly problem: string }>;
  /** Handshakes of both eras, tools/list and one safe call. Throws an ExplainedError that names what failed. */
  verify(
    spec: { url: string; caPem: string | null; key: string | null },
    signal: AbortSignal,
  ): Promise<VerifiedEndpoint>;
}

export interface VerifiedEndpoint {
  readonly modern: boolean;
  readonly legacy: boolean;
  readonly tools: number;
  /** The tool that was called and how long it took; null when none is safe to call. */
  readonly called: { readonly tool: string; readonly durationMs: number } | null;
}

export interface Clock {
  /** ISO 8601, UTC. */
  now(): string;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Monotonic milliseconds. */
  elapsed(): number;
}

export interface ApplyPorts {
  readonly files: FileSystem;
  readonly processes: Processes;
  readonly issuer: Issuer;
  readonly endpoint: Endpoint;
  readonly clock: Clock;
}
