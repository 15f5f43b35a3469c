import type { Deployment } from '../deployment/schema.ts';

/** Something we write configuration for. Pure: the same input always gives the same files. */
export interface Target {
  readonly name: TargetName;
  /** What it is for, one sentence. */
  readonly summary: string;
  /** The program that reads the files. */
  readonly program: string;
  /** The command that judges the files, as people know it. */
  readonly checkedBy?: string;
  /** Lets the program judge the files before they are installed; absent where none can. Throws as `files` does. */
  trial?(input: TargetInput, scratch: ScratchFiles): Trial;
  /** Throws a UserError when the deployment cannot be written in this format. */
  files(input: TargetInput): readonly RenderedFile[];
  commands(input: TargetInput): TargetCommands;
}

export type TargetName =
  | 'nginx'
  | 'caddy'
  | 'haproxy'
  | 'traefik'
  | 'systemd'
  | 'systemd-user'
  | 'systemd-timer'
  | 'launchd'
  | 'launchd-daemon'
  | 'launchd-timer'
  | 'logrotate'
  | 'firewall'
  | 'cron'
  | 'prometheus'
  | 'grafana'
  | 'docker'
  | 'swarm'
  | 'kubernetes';

/** A new folder, and files in it that stand for those of the host that may not be there yet, or not be readable. */
export interface ScratchFiles {
  readonly folder: string;
  /** PEM; its private key is at `keyFile`, and at `certificateFile` with .key at the end. */
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly crlFile: string;
}

/** The same files with every path of the host replaced by one of the scratch folder, and the program that reads them. */
export interface Trial {
  /** Absolute, in the scratch folder. */
  readonly files: readonly { readonly path: string; readonly content: string }[];
  /** The program is looked for in sbin folders too. */
  readonly argv: readonly string[];
  /** How the program tells its version, to compare with the one that the files are for. */
  readonly versionArgv: readonly string[];
  /** What it complains with although it exits 0. */
  readonly complaint: RegExp;
}

export interface TargetInput {
  readonly deployment: Deployment;
  /** Text of a file below templates/, e.g. `nginx/site.conf.hbs`. */
  readonly templates: (path: string) => string;
  /** Version of the program on the host, e.g. "1.22.1"; without it the files suit every supported version. */
  readonly programVersion?: string;
  readonly paths: TargetPaths;
  /** Ports on which a reverse proxy listens; 443 and 80, or the port of server.publicUrl, when absent. */
  readonly proxyPorts?: { readonly https: number; readonly http: number };
  /** A proxy in a container: its access log goes to its output, which the engine keeps. */
  readonly logToOutput?: boolean;
  /** Servers that come and go behind one name, which HAProxy asks the engine's DNS for again and again. */
  readonly discovery?: ServerDiscovery;
  /** How apply runs the containers; without it the files are for a person who does. */
  readonly applied?: AppliedContainers;
  /** Text of the one-file bundled server: what the container image holds. */
  readonly readServerBundle?: () => string;
  /** Code beside mcp-deploy.yaml that the server starts or imports, with what goes with it; asked where an image is made. */
  readonly readOwnFiles?: () => readonly OwnFile[];
}

/** A file that goes into the image as it is. */
export interface OwnFile {
  /** Relative to the folder of mcp-deploy.yaml, with slashes. */
  readonly path: string;
  readonly content: string;
  readonly isExecutable: boolean;
}

/** What apply decides, where render leaves it to a person. */
export interface AppliedContainers {
  /** Tagged by its content. */
  readonly image: string;
  /** Folder of the copies of keys and certificates, beside the files, and its number. */
  readonly secretsFolder: string;
  readonly secretsNumber: number;
  /** By name, where a secret has been the same for longer. */
  readonly secretNumbers?: Readonly<Record<string, number>>;
  /** As whom the server runs, to whom these copies belong. */
  readonly user: { readonly uid: number; readonly gid: number };
  /** Of Compose: the first one knows less. */
  readonly composeMajor: 1 | 2;
}

/** What the DNS of a container engine knows about a service. */
export interface ServerDiscovery {
  /** `host:port` of the DNS server. */
  readonly resolver: string;
  /** `host:port`; the name has an address for each copy. */
  readonly address: string;
  /** Most copies. */
  readonly most: number;
}

/** Where things are on the host that the files are for. All absolute. */
export interface TargetPaths {
  readonly nodePath: string;
  /** The bundled server. */
  readonly serverFile: string;
  /** What `serve --config` reads. */
  readonly configFile: string;
  /** Folder of mcp-deploy.yaml: upstreams start there. */
  readonly baseDir: string;
  /** Everything that the deployment keeps on this host. */
  readonly stateDir: string;
  /** The private CA, and what it signed; made by apply. */
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Hashes of the API keys. */
  readonly keyStoreFile: string;
  /** What the server writes when no service manager keeps its output. */
  readonly logFile: string;
  /** Where the server says that it runs; nowhere when absent. */
  readonly pidFile?: string;
  /** Program and first arguments of mcp-deploy itself; /usr/local/bin/mcp-deploy when absent. */
  readonly cliCommand?: readonly string[];
  /** mcp-deploy.yaml; the one in baseDir when absent. */
  readonly deploymentFile?: string;
  /** Home folder of the person who runs a launchd agent; for every person of the Mac when absent. */
  readonly homeDir?: string;
  /** Their user id; 501, the first person on a Mac, when absent. */
  readonly uid?: number;
  /** CA that signed a certificate given by `tls.source: files`; the public ones of the system when absent. */
  readonly upstreamCaFile?: string;
  /** Folder of the proxy's access log; the program's own when absent. */
  readonly proxyLogDir?: string;
}

export interface RenderedFile {
  /** Relative name below `--out DIR`, with `/`. */
  readonly path: string;
  /** Where it belongs on the host. Absolute. */
  readonly installPath: string;
  readonly mode: number;
  readonly content: string;
}

export interface TargetCommands {
  /** Ask the program whether it accepts the installed files; run before anything goes live. */
  readonly check: readonly Command[];
  /** From written files to a running service, in order. */
  readonly install: readonly Command[];
  /** Make the running service read them again. */
  readonly restart: readonly Command[];
  /** Take it out of service; the files are removed afterwards. */
  readonly remove: readonly Command[];
  /** What the person must know or do beside the commands. */
  readonly notices: readonly string[];
}

export interface Command {
  readonly title: string;
  readonly argv: readonly string[];
}
