import { join, sep } from 'node:path';
import type { ApplyPorts, FileSystem } from '../apply/ports.ts';

/** A folder that stands for the root of a system that does not run. */
export interface Stage {
  /** Absolute. */
  readonly root: string;
  /** A folder of this machine that is read as it is: the package. */
  readonly outside: string;
  /** Files of this machine that are read as they are. More may come. */
  readonly sources: ReadonlySet<string>;
  /** Users that the system will have: files are written as if they were there, and belong to whoever writes them. */
  readonly users: readonly string[];
}

/**
 * The same ports for a system below a folder: every path of the plan is one of that system, nothing is given to another owner, and
 * nothing runs there. So the plan, the journal and the undo are those of a real system.
 */
export function stagePorts(ports: ApplyPorts, stage: Stage): ApplyPorts {
  return {
    ...ports,
    files: stageFiles(ports.files, stage),
    processes: {
      ...ports.processes,
      self: ports.processes.self,
      identity: (pid) => ports.processes.identity(pid),
      run: () => Promise.resolve({ exitCode: 0, lastWords: [], output: '' }),
      serverState: () => Promise.resolve({ state: 'stopped' }),
      reloadServer: () => Promise.resolve(),
      stopServer: () => Promise.resolve(),
    },
  };
}

function stageFiles(files: FileSystem, { root, outside, sources, users }: Stage): FileSystem {
  const there = (path: string): string => join(root, path);
  // Nothing is ever written there.
  const toRead = (path: string): string =>
    sources.has(path) || path === outside || path.startsWith(`${outside}${sep}`) ? path : there(path);
  const accounts: Readonly<Record<string, string>> = {
    '/etc/passwd': ['root', ...users].map((name) => `${name}:x:0:0::/:/usr/sbin/nologin\n`).join(''),
    '/etc/group': ['root', ...users].map((name) => `${name}:x:0:\n`).join(''),
  };
  return {
    read: (path) => {
      const account = accounts[path];
      return account === undefined ? files.read(toRead(path)) : Promise.resolve(Buffer.from(account));
    },
    stat: (path) => files.stat(toRead(path)),
    list: (path) => files.list(toRead(path)),
    async writeAtomic(path, content, mode) {
      await makeParents(files, root, there(path));
      await files.writeAtomic(there(path), content, mode);
    },
    overwrite: (path, content) => files.overwrite(there(path), content),
    async linkAtomic(path, target) {
      await makeParents(files, root, there(path));
      return files.linkAtomic(there(path), target);
    },
    appendDurably: (path, line, mode) => files.appendDurably(there(path), line, mode),
    createExclusive: (path, content, mode) => files.createExclusive(there(path), content, mode),
    async makeDirectory(path, mode) {
      // What every system has on the way there is made on the way: no plan for a real one has steps for it.
      await makeParents(files, root, there(path));
      await files.makeDirectory(there(path), mode);
    },
    removeFile: (path) => files.removeFile(there(path)),
    removeEmptyDirectory: (path) => files.removeEmptyDirectory(there(path)),
    removeTree: (path) => files.removeTree(there(path)),
    rename: (from, to) => files.rename(there(from), there(to)),
    chmod: (path, mode) => files.chmod(there(path), mode),
    chown: () => Promise.resolve(),
  };
}

async function makeParents(files: FileSystem, root: string, path: string): Promise<void> {
  const parent = join(path, '..');
  if (!parent.startsWith(root) || (await files.stat(parent)) !== null) return;
  await makeParents(files, root, parent);
  await files.makeDirectory(parent, 0o755);
}
