import type { CommandContext } from '../context.ts';
import { readReleases } from '../../apply/commit.ts';

/** `mcp-deploy history`: the releases that were applied here, newest first. */
export async function runHistory(context: CommandContext): Promise<number> {
  const { releases: records, unreadable } = await readReleases(context.ports.files, context.stateDir);
  for (const file of unreadable) context.output.warning(`${file} is damaged; it is passed over.`);
  context.output.document({
    ok: true,
    releases: records.map(({ release, appliedAt, toolVersion, files, rollbackOf }, index) => ({
      release,
      appliedAt,
      toolVersion,
      files: Object.keys(files).length,
      live: index === 0,
      rollbackOf: rollbackOf ?? null,
    })),
  });
  context.output.result(
    records.length === 0
      ? '  Nothing was applied here yet.   mcp-deploy up'
      : records
          .map(
            (record, index) =>
              `  ${String(record.release).padStart(3)}  ${record.appliedAt}  mcp-deploy ${record.toolVersion}  ${Object.keys(record.files).length} files${record.rollbackOf === undefined ? '' : `   back to ${record.rollbackOf}`}${index === 0 ? '   live' : ''}`,
          )
          .join('\n'),
  );
  return 0;
}
