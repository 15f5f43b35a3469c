import { basename, dirname, join } from 'node:path';

/** Where a deployment lives: in a folder of somebody's, or all over a host. */
export type Scope = 'project' | 'system';

/**
 * Where everything of a deployment is, by its state folder (docs/design.md). The state folder alone tells the scope, so that a
 * journal or a saved plan that names it says all: `…/.mcp-deploy`, or `ROOT/opt/mcp-deploy/NAME`.
 */
export function deploymentPaths(stateDir: string) {
  const folders = scopeOf(stateDir) === 'system' ? systemFolders(stateDir) : projectFolders(stateDir);
  const { keysDir, pkiDir, logsDir, runDir, buildDir } = folders;
  return {
    ...folders,
    releasesDir: join(stateDir, 'releases'),
    /** Files that came with mcp-deploy.yaml, each named by the hash of its content. */
    sentDir: join(stateDir, 'sent'),
    serverConfig: join(buildDir, 'server.json'),
    backupRecord: join(folders.configDir, 'backup.json'),
    keyStore: join(keysDir, 'keys.json'),
    firstKey: join(keysDir, 'default.key'),
    caCertificate: join(pkiDir, 'ca.crt'),
    caKey: join(pkiDir, 'ca.key'),
    serverCertificate: join(pkiDir, 'server.crt'),
    serverKey: join(pkiDir, 'server.key'),
    logFile: join(logsDir, 'server.log'),
    pidFile: join(runDir, 'server.json'),
  } as const;
}

export function scopeOf(stateDir: string): Scope {
  return basename(stateDir) !== '.mcp-deploy' && dirname(stateDir).endsWith('/opt/mcp-deploy') ? 'system' : 'project';
}

/** The state folder of a deployment in system scope. `root` is where the file system of the host begins, usually `/`. */
export function systemStateDir(name: string, root: string): string {
  return join(root, 'opt/mcp-deploy', name);
}

interface Folders {
  readonly keysDir: string;
  readonly pkiDir: string;
  readonly logsDir: string;
  /** Where the running server says that it runs. */
  readonly runDir: string;
  /** Holds server.json, and in system scope the server itself. */
  readonly buildDir: string;
  /** `/etc/mcp-deploy/NAME`; the state folder itself in project scope. */
  readonly configDir: string;
}

function projectFolders(stateDir: string): Folders {
  return {
    keysDir: join(stateDir, 'keys'),
    pkiDir: join(stateDir, 'pki'),
    logsDir: join(stateDir, 'logs'),
    runDir: join(stateDir, 'run'),
    buildDir: stateDir,
    configDir: stateDir,
  };
}

function systemFolders(stateDir: string): Folders {
  const root = dirname(dirname(dirname(stateDir)));
  const below = (folder: string): string => join(root, folder, 'mcp-deploy', basename(stateDir));
  return {
    keysDir: join(below('etc'), 'keys'),
    pkiDir: join(below('etc'), 'pki'),
    logsDir: below('var/log'),
    runDir: below('var/lib'),
    buildDir: join(stateDir, 'current'),
    configDir: below('etc'),
  };
}
