import { resolve } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import {
  createKeyIn,
  listKeysIn,
  revokeKeyIn,
  rotateKeyIn,
  rotationDueDays,
  type KeyPowers,
} from '../../server/policy/key-store.ts';
import { openKeyProbe, proveRotation, type RotationProof } from '../prove-rotation.ts';
import { withLock } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { readDuration } from '../read-duration.ts';
import { deploymentPaths, scopeOf } from '../../plan/deployment-paths.ts';
import { handToContainers } from '../render-containers.ts';

const dayMs = 86_400_000;

/** `mcp-deploy keys create LABEL`: the key is shown once, or written to a 0600 file. */
export async function runKeysCreate(
  context: CommandContext,
  label: string,
  options: Record<string, unknown>,
): Promise<number> {
  const livesMs = options['expires'] === undefined ? null : readLife(options['expires']);
  const powers = powersOf(options);
  return changeKeys(context, async (storeText, now) => {
    const expiresAt = livesMs === null ? undefined : new Date(Date.parse(now) + livesMs).toISOString();
    const made = createKeyIn(storeText, {
      label,
      now,
      ...powers,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      newSalt: options['newSalt'] === true,
    });
    return {
      storeText: made.storeText,
      keyFile: keyFileOf(context, options),
      key: made.key,
      document: { id: made.record.id, label, expiresAt: expiresAt ?? null, ...powers },
      text: [
        `  Key "${label}" made${expiresAt === undefined ? '' : `, works until ${expiresAt.slice(0, 10)}`}${describePowers(powers, ', ')}. The server accepts it within a second.`,
        ...(options['newSalt'] === true ? describeSalts(made.storeText, now) : []),
      ].join('\n'),
    };
  });
}

/** `mcp-deploy keys rotate LABEL`: a new key now, the old one for `--overlap` longer. */
export async function runKeysRotate(
  context: CommandContext,
  label: string,
  options: Record<string, unknown>,
): Promise<number> {
  const overlapMs = readDuration('--overlap', options['overlap'], 'h', 365 * dayMs);
  if (options['prove'] !== true) return rotate(context, label, { overlapMs, options, prove: null });
  const probe = await openKeyProbe(context);
  try {
    const oldKey = await readOldKey(context, label, options);
    const prove = (made: KeyChange): Promise<RotationProof> =>
      proveRotation(context, probe, { storeText: made.storeText, newKey: made.key ?? '', oldKey, overlapMs }, (text) =>
        writeStore(context, text),
      );
    return await rotate(context, label, { overlapMs, options, prove });
  } finally {
    probe.close();
  }
}

/** The key that is replaced, where it lies in a file of its owner. */
async function readOldKey(
  context: CommandContext,
  label: string,
  options: Record<string, unknown>,
): Promise<string | null> {
  const file = keyFileOf(context, options) ?? (label === 'default' ? deploymentPaths(context.stateDir).firstKey : null);
  const bytes = file === null ? null : await context.ports.files.read(file);
  const text = bytes?.toString('utf8').trim() ?? '';
  return /^mcpd_[\w-]+$/.test(text) ? text : null;
}

async function rotate(
  context: CommandContext,
  label: string,
  how: {
    readonly overlapMs: number;
    readonly options: Record<string, unknown>;
    readonly prove: ((made: KeyChange) => Promise<RotationProof>) | null;
  },
): Promise<number> {
  const { overlapMs, options, prove } = how;
  return changeKeys(context, async (storeText, now) => {
    const made = rotateKeyIn(storeText, {
      label,
      overlapSeconds: overlapMs / 1_000,
      now,
      newSalt: options['newSalt'] === true,
    });
    // The owner's file of the first key follows the rotation, or the next `doctor` would use a dying key.
    const keyFile =
      keyFileOf(context, options) ?? (label === 'default' ? deploymentPaths(context.stateDir).firstKey : null);
    return {
      storeText: made.storeText,
      keyFile,
      key: made.key,
      document: { id: made.record.id, label, oldExpiresAt: made.oldExpiresAt },
      text: [
        `  Key "${label}" rotated. The old one works until ${made.oldExpiresAt}; both work until then.`,
        ...(options['newSalt'] === true ? describeSalts(made.storeText, now) : []),
      ].join('\n'),
      ...(prove === null ? {} : { prove }),
    };
  });
}

/** `mcp-deploy keys revoke LABEL`: refused within a second, without a restart. */
export async function runKeysRevoke(context: CommandContext, labelOrId: string): Promise<number> {
  return changeKeys(context, async (storeText, now) => {
    const made = revokeKeyIn(storeText, { labelOrId, now });
    const left = listKeysIn(made.storeText, now).filter((key) => key.state === 'active' || key.state === 'rotating');
    return {
      storeText: made.storeText,
      keyFile: null,
      key: null,
      document: { revoked: made.revoked.map(({ id, label }) => ({ id, label })), activeKeys: left.length },
      text: [
        made.revoked.length === 0
          ? `  "${labelOrId}" is revoked already.`
          : `  Revoked ${made.revoked.length === 1 ? 'one key' : `${made.revoked.length} keys`} "${labelOrId}". The server refuses ${made.revoked.length === 1 ? 'it' : 'them'} within a second.`,
        ...(left.length > 0
          ? []
          : ['  No key is left: nobody can call until you make one.   mcp-deploy keys create NAME']),
      ].join('\n'),
    };
  });
}

/** `mcp-deploy keys list`: labels, ages and states; never a key. */
export async function runKeysList(context: CommandContext): Promise<number> {
  const store = await readStore(context);
  const keys = listKeysIn(store, context.ports.clock.now());
  context.output.document({ ok: true, keys });
  const width = Math.max(5, ...keys.map((key) => key.label.length));
  context.output.result(
    keys.length === 0
      ? '  There is no key.   mcp-deploy keys create NAME'
      : [
          `  ${'LABEL'.padEnd(width)}  STATE     AGE     ENDS        ID`,
          ...keys.map(
            (key) =>
              `  ${key.label.padEnd(width)}  ${key.state.padEnd(8)}  ${`${key.ageDays} d`.padEnd(6)}  ${(key.revokedAt ?? key.expiresAt ?? 'never').slice(0, 10).padEnd(10)}  ${key.id}${describePowers(key, '  ')}`,
          ),
          ...keys
            .filter((key) => key.rotationDue)
            .map(
              ({ label }) =>
                `  "${label}" is older than ${rotationDueDays} days.   mcp-deploy keys rotate ${label.includes(' ') ? `'${label}'` : label} --overlap 7d`,
            ),
          ...describeSalts(store, context.ports.clock.now()),
        ].join('\n'),
  );
  return 0;
}

/** Whose hashes a new salt could not reach: only a rotation gives them another. */
function describeSalts(storeText: string, now: string): string[] {
  const labels = new Set(
    listKeysIn(storeText, now)
      .filter(({ olderSalt, state }) => olderSalt === true && state === 'active')
      .map(({ label }) => label),
  );
  return [...labels]
    .slice(0, 10)
    .map(
      (label) =>
        `  "${label}" has an older salt.   mcp-deploy keys rotate ${label.includes(' ') ? `'${label}'` : label} --overlap 7d`,
    );
}

interface KeyChange {
  readonly storeText: string;
  /** Where the key in clear goes; null shows it. */
  readonly keyFile: string | null;
  readonly key: string | null;
  readonly document: Record<string, unknown>;
  readonly text: string;
  /** Tries it on the live endpoint once the store and the file are written. */
  readonly prove?: (made: KeyChange) => Promise<RotationProof>;
}

/** Reads the store under the lock, writes it atomically, then gives the key to its owner. */
async function changeKeys(
  context: CommandContext,
  change: (storeText: string, now: string) => Promise<KeyChange>,
): Promise<number> {
  const { ports, output } = context;
  await readStore(context);
  return withLock(context, 'keys', async () => {
    const before = await readStore(context);
    const made = await change(before, ports.clock.now());
    if (made.keyFile !== null) await refuseToReplace(context, made.keyFile);
    // The store first: a crash in between leaves a key that nobody has, while every key in use still works.
    await writeStore(context, made.storeText);
    if (made.key !== null && made.keyFile !== null) {
      try {
        await context.here.writeAtomic(made.keyFile, `${made.key}\n`, 0o600);
      } catch (error) {
        await writeStore(context, before);
        throw error;
      }
    }
    const proof = made.prove === undefined ? null : await made.prove(made);
    output.document({
      ok: proof?.ok ?? true,
      ...made.document,
      ...(proof === null ? {} : { proof: proof.facts }),
      ...(made.key === null ? {} : made.keyFile === null ? { key: made.key } : { keyFile: made.keyFile }),
    });
    output.result(made.text);
    for (const { what, ok } of proof?.facts ?? []) {
      output.result(`  ${ok ? output.out.green('✓') : output.out.red('✗')} ${what}`);
    }
    if (made.key !== null && !output.json) {
      if (made.keyFile === null) {
        output.result('  It is shown this once and kept nowhere:\n');
        output.result(made.key);
      } else output.result(`  It is in ${made.keyFile} (0600).`);
    }
    if (proof?.ok === false)
      output.warning('The rotation is done, and the endpoint does not do as it should: mcp-deploy doctor');
    return proof?.ok === false ? 1 : 0;
  });
}

/** A file that holds a key may be replaced by the next key; anything else is the user's and stays. */
async function refuseToReplace({ here }: CommandContext, path: string): Promise<void> {
  if ((await here.stat(path))?.kind !== 'file') return;
  const text = ((await here.read(path)) ?? '').toString('utf8').trim();
  if (text === '' || /^mcpd_[\w-]+$/.test(text)) return;
  throw new UserError(`${path} exists and holds no key; it stays as it is.`, {
    why: 'Writing the new key there would destroy what is in it.',
    next: 'Name another file with --key-file.',
  });
}

async function readStore(context: CommandContext): Promise<string> {
  const bytes = await context.ports.files.read(deploymentPaths(context.stateDir).keyStore);
  if (bytes !== null) return bytes.toString('utf8');
  throw new UserError(`There is no key store in ${context.stateDir}.`, {
    why: 'No deployment with keys was applied in this folder.',
    next: 'mcp-deploy up',
  });
}

function keyFileOf(context: CommandContext, options: Record<string, unknown>): string | null {
  return typeof options['keyFile'] === 'string' ? resolve(context.world.cwd, options['keyFile']) : null;
}

function readLife(given: unknown): number {
  const ms = readDuration('--expires', given, 'd', 36_500 * dayMs);
  if (ms > 0) return ms;
  throw new UserError('--expires must be more than 0.', { next: '--expires 90d' });
}

/** What the flags let the key do. An empty list would be read as everything or as nothing, so it is refused below. */
function powersOf(options: Record<string, unknown>): KeyPowers {
  const { tools, upstreams, tier } = options;
  return {
    ...(typeof tools === 'string' ? { tools: splitList(tools) } : {}),
    ...(typeof upstreams === 'string' ? { upstreams: splitList(upstreams) } : {}),
    ...(typeof tier === 'string' ? { tier } : {}),
  };
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

function describePowers({ tools, upstreams, tier }: KeyPowers, before: string): string {
  const parts = [
    ...(tools === undefined ? [] : [`tools ${tools.join(',')}`]),
    ...(upstreams === undefined ? [] : [`upstreams ${upstreams.join(',')}`]),
    ...(tier === undefined ? [] : [`tier ${tier}`]),
  ];
  return parts.length === 0 ? '' : before + parts.join(', ');
}

/** On a host, the group of the service goes on to read it. */
async function writeStore(context: CommandContext, text: string): Promise<void> {
  const { ports, stateDir } = context;
  const { keyStore } = deploymentPaths(stateDir);
  const now = scopeOf(stateDir) === 'system' ? await ports.files.stat(keyStore) : null;
  if (now?.kind === 'file') await ports.files.writeAtomic(keyStore, text, now.mode, now.owner);
  else await ports.files.writeAtomic(keyStore, text, 0o600);
  await handToContainers(context, text);
}
