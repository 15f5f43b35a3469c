import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface PackageFiles {
  readonly root: string;
  readonly version: string;
  /** The bundled server, one self-contained file. */
  readonly serverFile: string;
  readonly templatesDir: string;
  readonly schemaDir: string;
}

/**
 * Finds the installed package from this file's own place: the same from src/
 * under the test runner, from dist/cli/ in a clone and from a global install.
 */
export function findPackageFiles(): PackageFiles {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!isOurs(folder)) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('package.json of mcp-deploy was not found above its own code');
    folder = parent;
  }
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  return {
    root: folder,
    version,
    serverFile: join(folder, 'dist/server/serve.js'),
    templatesDir: join(folder, 'templates'),
    schemaDir: join(folder, 'schema'),
  };
}

function isOurs(folder: string): boolean {
  const file = join(folder, 'package.json');
  return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'mcp-deploy';
}
