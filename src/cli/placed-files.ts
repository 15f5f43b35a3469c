import { dirname, join, resolve } from 'node:path';
import { readFileFact } from '../apply/commit.ts';
import { namedFiles } from '../deployment/named-files.ts';
import type { Deployment } from '../deployment/schema.ts';
import { overlayFiles } from '../host/backup/overlay-files.ts';
import { collectSentFiles } from '../host/collect-sent-files.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import type { FileFact, HostFacts } from '../plan/facts.ts';
import { foldersToPlace, type PlacedFiles } from '../plan/plan-sent-files.ts';
import type { CommandContext } from './context.ts';

/**
 * The files beside the text of `--from` that a deployment names, and where apply puts them.
 * @throws UserError for one that is named and not there
 */
export async function readPlacedFiles(
  context: CommandContext,
  deployment: Deployment,
  source: string,
): Promise<PlacedFiles> {
  const { baseDir, ports, stageDir } = context;
  const named = namedFiles(deployment);
  const { files, folders, elsewhere, leftOut } = collectSentFiles(named, dirname(source));
  const missing: { path: string; setting: string }[] = [];
  for (const { from, path, setting } of elsewhere) {
    const there = resolve(baseDir, from, path);
    // What a system will have that is only staged, nobody can know.
    if (stageDir === null && (await ports.files.stat(there)) === null) missing.push({ path: there, setting });
  }
  for (const { file } of files) context.sources.add(file);
  return {
    files: files.map(({ path, file, content: _content, ...rest }) => ({
      ...rest,
      from: file,
      path: join(baseDir, path),
    })),
    folders: folders.map((path) => join(baseDir, path)),
    missing,
    leftOut,
  };
}

/** What to look at beside, for a plan that puts files into place. */
export function placesOf(
  placed: PlacedFiles,
  { baseDir, stateDir }: Pick<CommandContext, 'baseDir' | 'stateDir'>,
): { readonly files: readonly string[]; readonly folders: readonly string[] } {
  const { sentDir } = deploymentPaths(stateDir);
  return {
    files: placed.files.flatMap(({ path, sha256 }) => [path, join(sentDir, sha256)]),
    folders: [...foldersToPlace(placed, baseDir), sentDir],
  };
}

/**
 * A context that looks as if the files were in their places already, so that a certificate among them is judged, and the
 * way back from such a look to what is there now.
 */
export function lookAhead(
  context: CommandContext,
  placed: PlacedFiles,
): { readonly context: CommandContext; readonly correct: (facts: HostFacts) => Promise<HostFacts> } {
  const { baseDir, ports } = context;
  const places = new Map(placed.files.map(({ path, from }) => [path, { copy: from, mode: 0o600 }]));
  const files = overlayFiles(ports.files, places, new Set([baseDir, ...foldersToPlace(placed, baseDir)]));
  return {
    context: { ...context, ports: { ...ports, files } },
    async correct(facts) {
      const now: Record<string, FileFact> = { ...facts.files };
      for (const { path } of placed.files) {
        const fact = await readFileFact(ports.files, path);
        if (fact === null) delete now[path];
        else now[path] = fact;
      }
      return { ...facts, files: now };
    },
  };
}
