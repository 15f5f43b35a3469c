import { basename, join } from 'node:path';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { liveLinkOf, pairLinkTarget, pairNumberOf, type PairPlace } from '../plan/served-pair.ts';
import type { FileOwner, FileSystem } from './ports.ts';

/**
 * Puts a pair in the place of the one that is served: written into a folder of its own and flushed, then one link is
 * renamed. Whoever starts or reads at any moment finds the former pair or this one, never a key of one and a certificate of
 * the other. A disk without symbolic links gets the two files one after the other, the key first.
 */
export async function servePair(
  place: PairPlace,
  pair: { readonly keyPem: string | Buffer; readonly certificatePem: string | Buffer },
  files: FileSystem,
  owner?: FileOwner,
): Promise<void> {
  await writePair(place, pair, files, owner);
  if (await files.linkAtomic(liveLinkOf(place), basename(place.folder))) {
    for (const path of [place.keyFile, place.certificateFile]) await linkOnce(path, files);
    return;
  }
  await files.removeTree(place.folder);
  await files.writeAtomic(place.keyFile, pair.keyPem, 0o600);
  await files.writeAtomic(place.certificateFile, pair.certificatePem, 0o644);
}

/** Makes links of two plain files. Every name has the same content before, meanwhile and after. */
export async function movePair(place: PairPlace, files: FileSystem): Promise<string | null> {
  const [keyPem, certificatePem] = [await files.read(place.keyFile), await files.read(place.certificateFile)];
  await writePair(place, { keyPem, certificatePem }, files);
  if (!(await files.linkAtomic(liveLinkOf(place), basename(place.folder)))) {
    await files.removeTree(place.folder);
    return 'this disk has no symbolic links, the files stay as they are';
  }
  for (const path of [place.keyFile, place.certificateFile]) await linkOnce(path, files);
  return null;
}

/** Removes the folders of pairs that nothing points to: they hold keys. The journal must have ended. */
export async function removeFormerPairs(files: FileSystem, stateDir: string): Promise<void> {
  const { pkiDir } = deploymentPaths(stateDir);
  const live = await files.stat(join(pkiDir, 'live'));
  for (const name of await files.list(pkiDir)) {
    if (pairNumberOf(name) !== null && name !== live?.target) await files.removeTree(join(pkiDir, name));
  }
}

async function writePair(
  { folder, keyFile, certificateFile }: PairPlace,
  pair: { readonly keyPem: string | Buffer | null; readonly certificatePem: string | Buffer | null },
  files: FileSystem,
  owner?: FileOwner,
): Promise<void> {
  await files.makeDirectory(folder, owner === undefined ? 0o700 : 0o750);
  if (owner !== undefined) await files.chown(folder, owner);
  const keyMode = owner === undefined ? 0o600 : 0o640;
  if (pair.keyPem !== null) await files.writeAtomic(join(folder, basename(keyFile)), pair.keyPem, keyMode, owner);
  if (pair.certificatePem !== null)
    await files.writeAtomic(join(folder, basename(certificateFile)), pair.certificatePem, 0o644);
}

async function linkOnce(path: string, files: FileSystem): Promise<void> {
  const target = pairLinkTarget(path);
  if ((await files.stat(path))?.target !== target) await files.linkAtomic(path, target);
}
