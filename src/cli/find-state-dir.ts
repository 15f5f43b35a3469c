import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseDocument } from 'yaml';
import { systemStateDir } from '../plan/deployment-paths.ts';
import { slugFrom } from './slug.ts';

/**
 * Where the state of a deployment is: beside its file, or on the host when `service.manager` says so. Every other fault of the
 * file is for whoever reads it whole.
 *
 * @param source the file that says what is wanted, where that is another one
 */
export function findStateDir(deploymentFile: string, source = deploymentFile): string {
  let text: string;
  try {
    text = readFileSync(source, 'utf8');
  } catch {
    text = '';
  }
  return stateDirOf(deploymentFile, text);
}

/** The same for a text that is not, or not yet, in the file. Pure. */
export function stateDirOf(deploymentFile: string, text: string): string {
  const own = join(dirname(deploymentFile), '.mcp-deploy');
  // Parsing costs milliseconds of every command, and most files have no service.
  if (!/\bmanager\b/.test(text)) return own;
  const document: unknown = parseDocument(text).toJS();
  const { name, service } = (document ?? {}) as { name?: unknown; service?: { manager?: unknown } };
  if (service?.manager !== 'systemd') return own;
  const known = typeof name === 'string' && slugFrom(name, '') === name ? name : 'mcp';
  return systemStateDir(basename(known), '/');
}
