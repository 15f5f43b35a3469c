import type { PersonalFacts } from './personal-service.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import type { ContainerFacts } from './container-facts.ts';
import type { SentRecord } from './plan-sent-files.ts';
import type { SystemFacts } from './system-facts.ts';
import type { Plan } from './types.ts';
import type { StartedUnits } from './units.ts';

/**
 * What is there now, as the planner sees it. Gathered by host/ through
 * read-only looks; plain data, so that every planner test is a table.
 */
export interface HostFacts {
  /** Folder that holds mcp-deploy.yaml (project scope). Absolute. */
  readonly baseDir: string;
  /** `${baseDir}/.mcp-deploy`. */
  readonly stateDir: string;
  /** When this was looked at, ISO 8601. */
  readonly now?: string;
  readonly hostName: string;
  readonly nodePath: string;
  /** The one-file bundled server that start-server runs. */
  readonly serverFile: string;
  readonly serverVersion: string;
  /** Of serverFile, hex, where a release in a folder gets a copy of it. */
  readonly serverBuildSha256?: string;
  readonly deploymentFile: { readonly path: string; readonly text: string | null };
  /** Every path the planner may write, by absolute path; absent paths are missing from the record. */
  readonly files: Readonly<Record<string, FileFact>>;
  /** Folders that exist, of those the planner may make. Left out: taken to exist when a known file lies in them. */
  readonly directories?: readonly string[];
  readonly caCertificate: CertificateFact | null;
  readonly serverCertificate: CertificateFact | null;
  /** How the pair of the server lies on the disk; left out where there is none. */
  readonly servedPair?: {
    /** Of the folders `pki/live-N`. */
    readonly numbers: readonly number[];
    /** Whether its two names are links into them; plain files otherwise. */
    readonly isLinked: boolean;
  };
  /** Labels of keys in the store that are neither revoked nor expired. */
  readonly activeKeyLabels: readonly string[];
  readonly server: ServerFact;
  /** Ports of the wanted listen addresses that a process that is not ours holds, e.g. {port: 8443, holder: 'nginx (pid 812)'}. */
  readonly takenPorts: readonly { readonly port: number; readonly holder: string | null }[];
  readonly release: ReleaseRecord | null;
  /** A journal that was neither committed nor rolled back: a crash happened. */
  /** In system scope. */
  readonly system?: SystemFacts;
  /** Where a service manager of a person runs it, or ran it. */
  readonly personal?: PersonalFacts;
  /** Where containers serve. */
  readonly containers?: ContainerFacts;
  /** Where a cluster serves. */
  readonly cluster?: ClusterFacts;
  readonly unfinishedJournal: { readonly file: string; readonly purpose: Plan['purpose'] } | null;
}

export interface FileFact {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly mode: number;
  /** In a release record: hash of what we would have written, where somebody's edit was adopted. */
  readonly insteadOf?: string;
  /** Its content, for the text files that a plan compares or keeps aside: server.json. Never in a release record. */
  readonly text?: string;
}

export interface CertificateFact {
  /** Subject alternative names; for the CA the names it may sign for (name constraints), empty when it has none. */
  readonly names: readonly string[];
  readonly notBefore?: string;
  readonly notAfter: string;
  readonly fingerprint256: string;
  /** False when the private key beside it is missing or belongs to another certificate. */
  readonly keyMatches: boolean;
  /** Whether it is signed by the CA found beside it; true for the CA itself. */
  readonly issuedByCa: boolean;
  readonly daysLeft: number;
}

export type ServerFact =
  | { readonly state: 'stopped' }
  /** configSha256: hash of the configuration file it was started with; version: of the server build. */
  | { readonly state: 'running'; readonly pid: number; readonly configSha256: string; readonly version: string };

/** What an applied plan left, kept as `.mcp-deploy/releases/N.json`: the basis of drift, history and uninstall. */
export interface ReleaseRecord {
  /** Of this form; left out in records of before it was written. */
  readonly schemaVersion?: number;
  readonly release: number;
  readonly appliedAt: string;
  readonly toolVersion: string;
  readonly desired: unknown;
  /** Files made by us, by absolute path, as they were when the plan was committed. */
  readonly files: Readonly<Record<string, FileFact>>;
  /** Folders made by us. */
  readonly directories: readonly string[];
  /** The server that it starts: `releases/FOLDER/serve.js`. Left out where containers serve. */
  readonly build?: { readonly version: string; readonly sha256: string; readonly folder: number };
  /** Units of others that were started for it, e.g. that of its proxy. */
  readonly started?: StartedUnits;
  /** The image that it runs, tagged by content, where containers serve. */
  readonly image?: string;
  /** What came with mcp-deploy.yaml (`--from`, `--host`); left out where nothing comes. */
  readonly sent?: readonly SentRecord[];
  /** The release that this one put back. */
  readonly rollbackOf?: number;
}
