import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { listWrittenEntries, type WrittenEntry } from '../../../clients/client-settings.ts';
import { clients } from '../../../clients/index.ts';
import { userSettingsPath } from '../../../clients/settings-path.ts';
import { deploymentSchema } from '../../../deployment/schema.ts';
import { endpointUrl } from '../../../plan/endpoint-url.ts';
import { hashKey, parseKeyStore } from '../../../server/policy/key-store.ts';
import type { ClientSettingSeen } from '../../machine-observations.ts';
import type { MachineAccess, OwnFacts } from '../../types.ts';
import { textOf } from './read-own-files.ts';
import type { Applied } from './read-releases.ts';

/**
 * Settings of clients on this machine that lead to the deployment and cannot work: to where it was before, with a key that
 * it does not know, or without its CA. Keys that stand there as a reference are not followed.
 */
export async function lookAtClients(
  own: OwnFacts,
  machine: MachineAccess,
  at: { readonly url: string; readonly applied: Applied; readonly now: string },
): Promise<readonly ClientSettingSeen[]> {
  const place = { platform: process.platform, home: machine.env['HOME'] ?? homedir(), env: machine.env };
  const baseDir = dirname(machine.deploymentFile);
  const former = formerUrls(at.applied, at.url);
  const accepts = keyJudge(own.keyStoreFile === null ? null : await textOf(own.keyStoreFile), at.now);
  const caPem = own.caFile === null ? null : await textOf(own.caFile);
  const seen: ClientSettingSeen[] = [];
  for (const client of clients) {
    const { format, container } = client.entry({
      name: 'x',
      url: at.url,
      keyFile: null,
      caFile: null,
      keyVariable: 'X',
    });
    const project = client.files.project === null ? null : join(baseDir, client.files.project);
    for (const path of new Set([userSettingsPath(client, place), project])) {
      const text = path === null ? null : await textOf(path);
      if (path === null || text === null) continue;
      for (const entry of entriesOf(text, format, container)) {
        const problem = await problemOf(entry, { ...at, former, accepts, caPem });
        if (problem !== null) seen.push({ id: client.id, client: client.title, path, entry: entry.name, problem });
      }
    }
  }
  return seen;
}

interface Known {
  readonly url: string;
  readonly former: ReadonlySet<string>;
  readonly accepts: ((key: string) => boolean) | null;
  readonly caPem: string | null;
}

async function problemOf(entry: WrittenEntry, known: Known): Promise<ClientSettingSeen['problem'] | null> {
  if (entry.url === null) return null;
  if (known.former.has(entry.url)) return { kind: 'old-url', url: entry.url };
  if (entry.url !== new URL(known.url).href) return null;
  const key = /\bBearer\s+([^\s"'$]{8,})/.exec(JSON.stringify(entry.value))?.[1];
  if (key !== undefined && known.accepts?.(key) === false) return { kind: 'wrong-key' };
  const { command, args, env } = entry.value as { command?: unknown; args?: unknown; env?: Record<string, unknown> };
  if (typeof command !== 'string') return null;
  const keyFile = (Array.isArray(args) ? (args as unknown[]) : []).find(
    (word) => typeof word === 'string' && /^\/\S+\.key$/.test(word),
  );
  if (typeof keyFile === 'string' && (await textOf(keyFile)) === null) return { kind: 'missing-file', file: keyFile };
  if (known.caPem === null) return null;
  const caFile = env?.['NODE_EXTRA_CA_CERTS'];
  if (typeof caFile !== 'string') return { kind: 'no-ca' };
  const given = await textOf(caFile);
  if (given === null) return { kind: 'missing-file', file: caFile };
  return given.replaceAll(/\s/g, '').includes(known.caPem.replaceAll(/\s/g, '')) ? null : { kind: 'no-ca' };
}

/** Where earlier releases answered and this one does not. */
function formerUrls({ releases }: Applied, url: string): ReadonlySet<string> {
  const urls = releases.flatMap(({ desired }) => {
    const parsed = deploymentSchema.safeParse(desired);
    const at = parsed.success ? endpointUrl(parsed.data) : '';
    return /^https?:/.test(at) && URL.canParse(at) ? [new URL(at).href] : [];
  });
  return new Set(urls.filter((each) => each !== new URL(url).href));
}

function keyJudge(storeText: string | null, now: string): ((key: string) => boolean) | null {
  try {
    if (storeText === null) return null;
    const { salt, keys } = parseKeyStore(storeText);
    const working = keys.filter(({ expiresAt, revokedAt }) => revokedAt === undefined && (expiresAt ?? '9') > now);
    return (key) => working.some((record) => record.hash === hashKey(record.salt ?? salt, key));
  } catch {
    return null;
  }
}

function entriesOf(...[text, format, container]: Parameters<typeof listWrittenEntries>): readonly WrittenEntry[] {
  try {
    return listWrittenEntries(text, format, container);
  } catch {
    // Not ours to judge: `client list` names files that cannot be read.
    return [];
  }
}
