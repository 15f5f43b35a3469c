import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { bootDebian, type BootedDebian, type Executed } from './booted-debian.ts';
import { bundleOf } from './bundle-of.ts';
import { repository } from './cli.ts';
import type { FrozenReport } from './system-frozen-cli.ts';

/** A booted Debian with this mcp-deploy on it, and a folder for a deployment of its own. */
export interface SystemHost {
  readonly debian: BootedDebian;
  /** Runs mcp-deploy in the folder of the deployment. */
  cli(...args: readonly string[]): Promise<Executed>;
  /** The same, and it must end with 0. */
  must(...args: readonly string[]): Promise<string>;
  /** The same with a server that is another build. */
  newer(...args: readonly string[]): Promise<Executed>;
  /** The same, killed at a step. */
  killedAt(step: number, moment: 'begun' | 'acted', ...args: readonly string[]): Promise<Executed>;
  /** An upgrade to `wanted`, cut off at each of its effects. */
  frozen(wanted: string, choice: 'some' | 'all'): Promise<FrozenReport>;
  sh(script: string): Promise<string>;
  write(path: string, text: string): Promise<void>;
  /**
   * What is on the host, a line each: paths with kind, mode, owner and target, contents, and what systemd says of the units.
   * Left out are journals of plans, logs, what a server notes while it runs, and the lock of the accounts.
   */
  snapshot(): Promise<string>;
}

export const siteFolder = '/srv/notes';
/** Where what only tests need lies on the host. */
const tools = '/usr/local/lib/mcp-tests';
const newer = '/usr/local/lib/mcp-deploy-newer';
/** A script of test/helpers on the host. */
export const loadScript = `${tools}/dist/cli/system-load.mjs`;
const scripts = ['system-killed-cli', 'system-frozen-cli', 'system-load'] as const;

export async function bootSystemHost(): Promise<SystemHost> {
  const there = '/usr/lib/mcp-deploy';
  const names = ['bin', 'dist', 'templates', 'schema', 'package.json'];
  const debian = await bootDebian({
    binds: [
      ...names.map((name) => `${join(repository, name)}:${there}/${name}`),
      `${realpathSync(join(repository, 'node_modules'))}:${there}/node_modules`,
    ],
  });
  const sh = (script: string): Promise<string> => debian.run(['sh', '-ec', script]);
  await sh(`mkdir -p ${siteFolder} ${tools}/dist/cli ${newer}/dist
    # As every installed system has it; a bootstrapped one has none.
    printf '127.0.0.1 localhost\\n::1 localhost\\n127.0.1.1 vm\\n' > /etc/hosts
    for each in bin templates schema package.json node_modules; do
      ln -s ${there}/$each ${tools}/$each
    done
    ln -s ${there}/dist/server ${tools}/dist/server
    cp -r ${there}/bin ${there}/templates ${there}/schema ${there}/package.json ${newer}/
    ln -s ${there}/node_modules ${newer}/node_modules
    cp -r ${there}/dist/cli ${there}/dist/server ${newer}/dist/
    echo '// another build' >> ${newer}/dist/server/serve.js`);
  await Promise.all(
    scripts.map(async (name) =>
      debian.run(['sh', '-c', `cat > ${tools}/dist/cli/${name}.mjs`], { input: await bundleOf(name) }),
    ),
  );
  const run = (file: string, args: readonly string[]): Promise<Executed> =>
    debian.exec(['env', '-C', siteFolder, '/usr/bin/node', file, ...args]);
  return {
    debian,
    sh,
    cli: (...args) => run(`${there}/bin/mcp-deploy.js`, args),
    newer: (...args) => run(`${newer}/bin/mcp-deploy.js`, args),
    killedAt: (step, moment, ...args) =>
      run(`${tools}/dist/cli/system-killed-cli.mjs`, [String(step), moment, ...args]),
    async frozen(wanted, choice) {
      const ran = await run(`${tools}/dist/cli/system-frozen-cli.mjs`, [wanted, choice]);
      if (ran.status === 0) return JSON.parse(ran.stdout) as FrozenReport;
      throw new Error(`it ended with ${ran.status}\n${ran.stdout}${ran.stderr}`);
    },
    async must(...args) {
      const ran = await run(`${there}/bin/mcp-deploy.js`, args);
      if (ran.status === 0) return ran.stdout;
      throw new Error(`mcp-deploy ${args.join(' ')} ended with ${ran.status}\n${ran.stdout}${ran.stderr}`);
    },
    async write(path, text) {
      await debian.run(['sh', '-c', 'cat > "$1"', 'sh', path], { input: text });
    },
    snapshot: () => debian.run(['sh', '-c', snapshotScript]),
  };
}

const left = '-name .pwd.lock -o -name .npm -o -name journal';
const snapshotScript = `cd /
find etc opt srv var/lib/mcp-deploy var/log/mcp-deploy run/systemd/system run/mcp-notes-trial.json 2>/dev/null \\
  \\( ${left} -o -path 'var/log/mcp-deploy/*/*' -o -path 'var/lib/mcp-deploy/*/server.json' \\) -prune \\
  -o -printf '%p %y %m %U:%G %l\\n' | LC_ALL=C sort
find etc opt srv \\( ${left} \\) -prune -o -type f -print0 | xargs -0 sha256sum | LC_ALL=C sort -k2
for unit in mcp-notes.service mcp-notes.socket mcp-notes-trial.service nginx.service; do
  systemctl show --property=Id,LoadState,ActiveState,UnitFileState $unit | tr '\\n' ' '; echo
done
`;
