import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { bootDebian, type BootedDebian, type Executed } from './booted-debian.ts';
import { repository } from './cli.ts';

/** A booted Debian with this mcp-deploy on it, and a folder for a deployment of its own. */
export interface SystemHost {
  readonly debian: BootedDebian;
  /** Runs mcp-deploy in the folder of the deployment. */
  cli(...args: readonly string[]): Promise<Executed>;
  /** The same, and it must end with 0. */
  must(...args: readonly string[]): Promise<string>;
  /** Writes a file of the host. */
  write(path: string, text: string): Promise<void>;
  /** What is on the host: each path with kind, mode, owner, content hash or target, and what systemd says of the units. */
  snapshot(): Promise<string>;
}

export const siteFolder = '/srv/notes';

export async function bootSystemHost(): Promise<SystemHost> {
  const there = '/usr/lib/mcp-deploy';
  const names = ['bin', 'dist', 'templates', 'schema', 'package.json'];
  const debian = await bootDebian({
    binds: [
      ...names.map((name) => `${join(repository, name)}:${there}/${name}`),
      `${realpathSync(join(repository, 'node_modules'))}:${there}/node_modules`,
    ],
  });
  await debian.run(['mkdir', '-p', siteFolder]);
  // As every installed system has it; a bootstrapped one has none.
  await debian.run(['sh', '-c', 'printf "127.0.0.1 localhost\\n::1 localhost\\n127.0.1.1 vm\\n" > /etc/hosts']);
  const cli = (...args: readonly string[]): Promise<Executed> =>
    debian.exec(['env', '-C', siteFolder, '/usr/bin/node', `${there}/bin/mcp-deploy.js`, ...args]);
  return {
    debian,
    cli,
    async must(...args) {
      const ran = await cli(...args);
      if (ran.status === 0) return ran.stdout;
      throw new Error(`mcp-deploy ${args.join(' ')} ended with ${ran.status}\n${ran.stdout}${ran.stderr}`);
    },
    async write(path, text) {
      await debian.run(['sh', '-c', 'mkdir -p "$(dirname "$1")" && cat > "$1"', 'sh', path], { input: text });
    },
    snapshot: () => debian.run(['sh', '-c', snapshotScript]),
  };
}

/**
 * Left out is what changes by itself or is history: journals of plans, logs, what a server notes while it runs, and the copies
 * that the programs for accounts keep of their files.
 */
const snapshotScript = `set -e
cd /
find etc opt var/lib/mcp-deploy var/log/mcp-deploy srv run/systemd/system -xdev 2>/dev/null \\
  \\( -path 'opt/mcp-deploy/*/journal' -o -name '*.log' -o -path 'var/lib/mcp-deploy/*/server.json' \\
     -o -name 'passwd-' -o -name 'group-' -o -name 'shadow-' -o -name 'gshadow-' -o -name '.pwd.lock' -o -name '.npm' \\) -prune \\
  -o -printf '%p %y %m %U:%G %l\\n' | LC_ALL=C sort
find etc opt srv -xdev -type f -not -path 'opt/mcp-deploy/*/journal/*' -not -name 'passwd-' -not -name 'group-' \\
  -not -name 'shadow-' -not -name 'gshadow-' -exec sha256sum {} + | LC_ALL=C sort -k2
systemctl show -p Id,ActiveState,UnitFileState,FragmentPath mcp-notes.service mcp-notes.socket nginx.service
systemctl list-units --all --plain --no-legend 'mcp-*' | awk '{print $1, $2, $3}'
`;
