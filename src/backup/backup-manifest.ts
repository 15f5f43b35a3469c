import { z } from 'zod';
import { EnvironmentError } from '../deployment/errors.ts';

/** First entry of a backup: everything that follows, in this order. */
export const manifestName = 'manifest.json';
/** A backup of a later format may mean something that this version would get wrong. */
export const formatVersion = 1;

/** Bounds that no backup of ours comes near: what is larger was made to hurt. */
export const bounds = {
  manifestBytes: 8_388_608,
  fileBytes: 1_073_741_824,
  totalBytes: 8_589_934_592,
  files: 20_000,
} as const;

const fileSchema = z.strictObject({
  /** Name in the archive: `mcp-deploy.yaml`, `state/…` (below .mcp-deploy), `beside/…` (below the folder of the file) or `logs/…`. */
  path: z.string().min(1).max(1_000),
  size: z.int().min(0).max(bounds.fileBytes),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  mode: z.int().min(0).max(0o777),
});

const manifestSchema = z.strictObject({
  format: z.literal('mcp-deploy-backup'),
  formatVersion: z.literal(formatVersion),
  createdAt: z.iso.datetime(),
  toolVersion: z.string().max(100),
  deployment: z.string().max(100),
  /** Whether private keys and API keys are in it. */
  withSecrets: z.boolean(),
  withLogs: z.boolean(),
  /** Of the host that it was made on. */
  hostName: z.string().max(300),
  files: z.array(fileSchema).max(bounds.files),
  /** What the deployment refers to and is not in here: outside of its folder. */
  leftOut: z.array(z.string().max(4_096)).max(10_000),
});

export type BackupManifest = z.output<typeof manifestSchema>;
export type BackupFile = z.output<typeof fileSchema>;

/**
 * Reads and judges the first entry of an archive.
 * @throws EnvironmentError for another format, a later version, names that leave their folder, and sizes beyond all bounds
 */
export function parseManifest(text: string): BackupManifest {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw damaged('Its manifest is no JSON.');
  }
  const version = (document as { formatVersion?: unknown } | null)?.formatVersion;
  if (typeof version === 'number' && version > formatVersion) {
    throw new EnvironmentError(`The backup is of format ${version}; this mcp-deploy knows ${formatVersion}.`, {
      why: 'A later version made it.',
      next: 'Install that version, or a newer one, and try again.',
    });
  }
  const parsed = manifestSchema.safeParse(document);
  if (!parsed.success) {
    const [first] = parsed.error.issues;
    throw damaged(`Its manifest is not as it should be: ${first?.path.join('.') ?? ''} ${first?.message ?? ''}`.trim());
  }
  const { files } = parsed.data;
  const names = new Set<string>();
  let total = 0;
  for (const { path, size } of files) {
    const problem = archiveNameProblem(path) ?? (names.has(path) ? 'is in it twice' : null);
    if (problem !== null) throw damaged(`The name ${JSON.stringify(path)} ${problem}.`);
    names.add(path);
    total += size;
  }
  if (total > bounds.totalBytes) throw damaged(`It says that it holds ${total} bytes, more than any backup may.`);
  return parsed.data;
}

/** What is wrong with a name in an archive, or null: nothing may reach out of the folder that it is put into. Pure. */
function archiveNameProblem(name: string): string | null {
  if (/[\0-\x1f\x7f\\]/.test(name)) return 'holds a control character or a backslash';
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) return 'is absolute';
  const parts = name.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return 'leaves its folder';
  if (parts.some((part) => Buffer.byteLength(part) > 255)) return 'is too long';
  if (name === 'mcp-deploy.yaml') return null;
  if (parts[0] === 'logs' && parts.length === 2) return null;
  if (parts[0] === 'state' && parts.length > 1) return stateNameProblem(parts.slice(1));
  if (parts[0] === 'beside' && parts.length > 1) {
    return parts[1] === '.mcp-deploy' ? 'would write into .mcp-deploy by another name' : null;
  }
  return 'is none of a backup';
}

/** What a restore may bring back into .mcp-deploy: never a journal, a lock or a process file. */
const stateFolders: ReadonlySet<string> = new Set(['keys', 'pki', 'acme', 'releases']);

function stateNameProblem(parts: readonly string[]): string | null {
  if (parts.length === 2 && stateFolders.has(parts[0] ?? '')) return null;
  return 'is none that a restore brings back';
}

export function damaged(why: string): EnvironmentError {
  return new EnvironmentError('The backup is damaged; nothing was changed.', {
    why,
    next: 'Try another one: mcp-deploy backup list',
  });
}
