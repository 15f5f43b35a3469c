import type { Account } from './accounts.ts';
import type { HostProxyName } from './host-proxies.ts';

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
  /** Those of them that start with the machine. */
  readonly enabledUnits?: readonly string[];
  /** How each proxy of the host reads sites; left out where none is known. */
  readonly proxies?: Readonly<Partial<Record<HostProxyName, ProxyFacts>>>;
  /** The user, beside root, to whom the certificate and its key belong; null for none. */
  readonly pairReader?: string | null;
  /** On the disk of /opt. */
  readonly freeBytes: number;
  /** Of the proxy that is wanted in front; left out where none is. */
  readonly front?: FrontFacts;
  /** Folders that are written to and cannot be: on a disk that is read-only or full. */
  readonly closed?: readonly { readonly path: string; readonly why: 'read-only' | 'full' }[];
}

/** What a proxy needs beside its program. */
export interface FrontFacts {
  /** As it prints it; null when it does not. */
  readonly version: string | null;
  /** Those of its ports that somebody holds, itself included. */
  readonly held: readonly {
    readonly port: number;
    /** `nginx (pid 812)`; null when it is not to be seen. */
    readonly holder: string | null;
    readonly pid: number | null;
    readonly unit: string | null;
  }[];
}

/** Of a reverse proxy. */
export interface ProxyFacts {
  /** Whether the folder of sites is there. */
  readonly hasFolder: boolean;
  /** Sites of others in it. */
  readonly otherSites: number;
  /** HAProxy: what it is started with beside its main file. */
  readonly startOptions: string;
  readonly hasDropInFolder?: boolean;
  /** Parts of its unit that other deployments made. */
  readonly otherDropIns: number;
  /** Whether a key lies where HAProxy looks for the one of our certificate. */
  readonly hasKeyLink: boolean;
}

/** What the targets wrote for this host. */
export interface RenderedHost {
  readonly files: readonly HostFile[];
  /** Where clients reach the endpoint through the proxy on this machine; null when nothing can be tried from here. */
  readonly proxyUrl: string | null;
  /** Ports that the proxy listens on. */
  readonly proxyPorts?: readonly number[];
}

export interface HostFile {
  readonly program: 'systemd' | 'systemd-user' | 'launchd' | HostProxyName;
  readonly path: string;
  readonly mode: number;
  readonly content: string;
}
