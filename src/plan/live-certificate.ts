/** A pair of files, what serves it, and the live sockets on which that can be seen. */
export interface LiveCertificate {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Of the bundled server, which is told by SIGHUP. */
  readonly pidFile: string;
  readonly sockets: readonly LiveSocket[];
  /** Command that makes the proxy read its certificate anew; null when there is none. */
  readonly proxyReload: readonly string[] | null;
  /** Asks that proxy first whether it takes its configuration; null when there is no such question. */
  readonly proxyCheck: readonly string[] | null;
  /** Longest wait at each socket. */
  readonly timeoutMs: number;
}

/** A socket that shows the certificate. */
export interface LiveSocket {
  readonly hop: 'server' | 'proxy';
  readonly host: string;
  readonly port: number;
  /** SNI; null for none. */
  readonly serverName: string | null;
}
