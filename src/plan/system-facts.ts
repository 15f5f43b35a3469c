import type { Account } from './accounts.ts';

/** What a host is like, where a deployment is a service of it. */
export interface SystemFacts {
  /** Whether this command may change the host. */
  readonly isRoot: boolean;
  /** Of service.user; null when there is none yet. */
  readonly account: Account | null;
  /** Other deployments of this host whose service runs as the same user. */
  readonly sharedWith: readonly string[];
  /** The server that this mcp-deploy brings. */
  readonly build: { readonly file: string; readonly sha256: string; readonly version: string };
  /** The release that `current` points to, and the server in it; null when there is none. */
  readonly current: { readonly number: number; readonly serverSha256: string | null } | null;
  /** Programs that were found, of those that may be needed, with their paths. */
  readonly programs: Readonly<Record<string, string>>;
  /** Active units, of those that may be ours or are in front. */
  readonly activeUnits: readonly string[];
  /** On the disk of /opt. */
  readonly freeBytes: number;
}

/** What the targets wrote for this host. */
export interface RenderedHost {
  readonly files: readonly HostFile[];
  /** Where clients reach the endpoint through the proxy on this machine; null when nothing can be tried from here. */
  readonly proxyUrl: string | null;
}

export interface HostFile {
  readonly program: 'systemd' | 'nginx';
  readonly path: string;
  readonly mode: number;
  readonly content: string;
}
