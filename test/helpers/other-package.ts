import { cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repository, runProgram } from './cli.ts';

/** The version that is in this repository. */
export async function ownVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as { version: string };
  return version;
}

/** The built package under another version, as a folder: what a later or an earlier mcp-deploy would be. */
export async function makePackage(folder: string, version: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const name of ['bin', 'dist', 'templates', 'schema', 'package.json']) {
    await cp(join(repository, name), join(folder, name), { recursive: true });
  }
  const own = await ownVersion();
  // The command line reads its version from package.json; the server carries it inside.
  for (const name of ['package.json', 'dist/server/serve.js']) {
    const file = join(folder, name);
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replaceAll(`"${own}"`, `"${version}"`));
  }
  return folder;
}

/** `npm pack` of such a folder; the path of the tarball. */
export async function packPackage(folder: string, into: string): Promise<string> {
  const packed = await runProgram('npm', ['pack', '--ignore-scripts', '--pack-destination', into], { cwd: folder });
  const name = (await readdir(into)).find((each) => each.endsWith('.tgz'));
  if (packed.exitCode !== 0 || name === undefined) throw new Error(`npm pack: ${packed.stderr}`);
  return join(into, name);
}
