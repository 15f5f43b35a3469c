import { readFile, stat, statfs } from 'node:fs/promises';
import { describeCertificate } from '../../pki/describe-certificate.ts';
import { keyMatchesCertificate } from '../../pki/key-matches-certificate.ts';
import { listKeysIn } from '../../server/policy/key-store.ts';
import { deploymentPaths, scopeOf } from '../../plan/deployment-paths.ts';
import type { FileSeen, HostSeen, Observed } from '../observations.ts';
import type { OwnFacts } from '../types.ts';
import { callLimitOf } from './own-limits.ts';

/** Files, modes and room on disk of this folder's deployment. What cannot be read is null, never guessed. */
export async function probeHost(own: OwnFacts, now: string): Promise<Observed<HostSeen>> {
  const [certificatePem, keyPem, storeText, configText] = await Promise.all(
    [own.certificateFile, own.keyFile, own.keyStoreFile, deploymentPaths(own.stateDir).serverConfig].map(readText),
  );
  const listed: readonly (readonly [path: string | null, what: FileSeen['what'], secret: boolean])[] = [
    [own.stateDir, 'state folder', false],
    [own.caKeyFile, 'CA key', true],
    [own.keyFile, 'server key', true],
    [own.keyStoreFile, 'key store', true],
    [own.apiKeyFile, 'API key', true],
    [own.certificateFile, 'certificate', false],
    [own.caFile, 'CA certificate', false],
  ];
  const groupReads = scopeOf(own.stateDir) === 'system';
  // Windows knows no permission bits; Node makes some up.
  const files = await Promise.all(
    (process.platform === 'win32' ? [] : listed).flatMap(([path, what, secret]) =>
      path === null ? [] : [modeOf(path).then((mode): FileSeen => ({ path, what, secret, mode, groupReads }))],
    ),
  );
  return {
    status: 'ok',
    serverRunning: own.serverRunning,
    files,
    certificateFingerprint: orNull(() =>
      certificatePem == null ? null : describeCertificate(certificatePem).fingerprint256,
    ),
    keyMatches: orNull(() =>
      certificatePem == null || keyPem == null ? null : keyMatchesCertificate(certificatePem, keyPem),
    ),
    keyStore: storeState(own.keyStoreFile, storeText ?? null, now),
    keys: orNull(() =>
      storeText == null
        ? null
        : listKeysIn(storeText, now)
            .filter(({ state }) => state === 'active' || state === 'rotating')
            .map(({ id, label, ageDays }) => ({ id, label, ageDays })),
    ),
    callLimit: orNull(() => (configText == null ? null : callLimitOf(configText))),
    disk: await freeSpace(own.stateDir),
  };
}

function storeState(file: string | null, text: string | null, now: string): HostSeen['keyStore'] {
  if (file === null) return 'none';
  if (text === null) return 'missing';
  return orNull(() => listKeysIn(text, now)) === null ? 'damaged' : 'fine';
}

async function readText(path: string | null): Promise<string | null> {
  if (path === null) return null;
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}

async function modeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).mode & 0o7777;
  } catch {
    return null;
  }
}

async function freeSpace(path: string): Promise<HostSeen['disk']> {
  try {
    const { bavail, bsize } = await statfs(path);
    return { freeBytes: bavail * bsize, path };
  } catch {
    return null;
  }
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
