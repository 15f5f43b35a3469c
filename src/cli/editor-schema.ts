import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureStateFolder } from '../apply/state-folder.ts';
import { editorSchemaFile } from '../deployment/write-deployment.ts';
import { scopeOf } from '../plan/deployment-paths.ts';
import type { CommandContext } from './context.ts';

/**
 * Puts the JSON Schema of this version where the first line of a generated mcp-deploy.yaml tells editors to look for it:
 * into the state folder, which uninstall removes. Only where the deployment is a folder of somebody's. It is an aid and no
 * part of a release: what prevents it prevents nothing else.
 */
export async function writeEditorSchema(context: CommandContext): Promise<void> {
  const { ports, stateDir, stageDir, package: own } = context;
  if (scopeOf(stateDir) === 'system' || stageDir !== null) return;
  try {
    const schema = await readFile(join(own.schemaDir, 'mcp-deploy.schema.json'));
    const path = join(stateDir, editorSchemaFile);
    if ((await ports.files.read(path))?.equals(schema) === true) return;
    await ensureStateFolder(ports.files, stateDir);
    await ports.files.writeAtomic(path, schema, 0o644);
  } catch {
    // A full disk, a read-only folder: the next change tries again.
  }
}
