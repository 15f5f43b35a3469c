import { join } from 'node:path';
import type { ReleaseRecord } from '../../plan/facts.ts';
import type { CommandContext } from '../context.ts';
import { releasesDirOf } from '../../apply/commit.ts';

/** `mcp-deploy history`: the releases that were applied here, newest first. */
export async function runHistory(context: CommandContext): Promise<number> {
  const folder = releasesDirOf(context.stateDir);
  const records: ReleaseRecord[] = [];
  for (const name of await context.ports.files.list(folder)) {
    if (!/^\d+\.json$/.test(name)) continue;
    const bytes = await context.ports.files.read(join(folder, name));
    if (bytes !== null) records.push(JSON.parse(bytes.toString('utf8')) as ReleaseRecord);
  }
  records.sort((a, b) => b.release - a.release);
  context.output.document({
    ok: true,
    releases: records.map(({ release, appliedAt, toolVersion, files }) => ({
      release,
      appliedAt,
      toolVersion,
      files: Object.keys(files).length,
    })),
  });
  context.output.result(
    records.length === 0
      ? '  Nothing was applied here yet.   mcp-deploy up'
      : records
          .map(
            (record, index) =>
              `  ${String(record.release).padStart(3)}  ${record.appliedAt}  mcp-deploy ${record.toolVersion}  ${Object.keys(record.files).length} files${index === 0 ? '   live' : ''}`,
          )
          .join('\n'),
  );
  return 0;
}
