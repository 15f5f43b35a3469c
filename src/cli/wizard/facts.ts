/** What the wizard sees of a machine and a folder. Plain data: everything that it proposes is decided from this. */
export interface WizardFacts {
  readonly platform: NodeJS.Platform;
  /** As the machine calls itself. */
  readonly hostName: string;
  /** Text of /etc/hosts, which often knows the whole name. */
  readonly hostsFile: string | null;
  /** Name of the folder of mcp-deploy.yaml. */
  readonly folderName: string;
  readonly isRoot: boolean;
  /** Programs that were found, with their path. */
  readonly programs: {
    readonly [Program in 'nginx' | 'caddy' | 'haproxy' | 'docker' | 'systemctl' | 'launchctl' | 'uv' | 'python3']:
      | string
      | null;
  };
  /** Whether systemd runs this machine, and not only lies on its disk. */
  readonly systemdRuns: boolean;
  /** Whether this user may talk to the Docker engine. */
  readonly dockerUsable: boolean;
  /** A free port for the server, from 8443 on, and who holds 8443 if it is not that. */
  readonly freePort: number;
  readonly portRemark: string | null;
  /** Who listens on port 443, as far as this user may see. */
  readonly httpsHolder: string | null;
  readonly packageJson: string | null;
  readonly pyproject: string | null;
  readonly requirements: string | null;
  /** Files of the folder (relative, one level and what package.json and pyproject.toml name) that are there. */
  readonly files: readonly string[];
  /** MCP servers that clients on this machine start. */
  readonly clientServers: readonly ClientServer[];
  /** Of ~/.gitconfig. */
  readonly email: string | null;
}

/** A server as it stands in the settings of a client; of its variables the names only. */
export interface ClientServer {
  readonly client: string;
  readonly name: string;
  readonly command: readonly string[];
  readonly env: readonly string[];
}

/** An MCP server that was found and can be offered. */
export interface ServerCandidate {
  readonly command: readonly string[];
  readonly env: readonly string[];
  /** Where it was found: `package.json (bin)`. */
  readonly from: string;
  /** What is to do first; null when nothing. */
  readonly remark: string | null;
}
