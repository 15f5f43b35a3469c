import type { FileSeen, HostSeen, Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import { shellWord } from './shell-word.ts';
import { checksOf, fail, notApplicable, notSeen, pass, unknown } from './endpoint-check.ts';

/** Practice of the field: API keys are replaced every 90 days. */
const oldKeyDays = 90;
/** Below this an update or a day of logs may not fit; below the second not even the next journal line. */
const littleBytes = 200 * 1_048_576;
const noBytes = 20 * 1_048_576;

/** First on the way: when the server does not run, nothing else can be well. */
export const processChecks = checksOf('host', [
  {
    code: 'host/server-running',
    title: 'the server process runs',
    label: 'server running',
    hop: 'host',
    severity: 'error',
    needs: ['host', 'tcp'],
    after: ['tls/key-matches', 'host/key-store'],
    explanation:
      'The process that `mcp-deploy up` or `start` began is looked for by its id and identity, so that another process ' +
      'with the same number is not taken for it.',
    judge: (seen) =>
      withHost(seen, ({ serverRunning }) => {
        if (serverRunning) return pass();
        const { tcp, target } = seen;
        const stranger = tcp.status === 'ok' && tcp.attempts.some(({ outcome }) => outcome.connected);
        return fail({
          title: 'the server is not running',
          cause: stranger
            ? `it was stopped or has ended, and another program listens on port ${target.port}`
            : 'it was stopped, or it has ended; its log says which',
          evidence: [
            {
              source: 'process of this deployment',
              observed: stranger ? `not running; port ${target.port} is open all the same` : 'not running',
              expected: 'running',
            },
          ],
          fix: { summary: 'Read its last words, then start it.', commands: ['mcp-deploy logs', 'mcp-deploy start'] },
        });
      }),
  },
]);

/** Before any key is judged: who cannot read the store refuses every key. */
export const keyStoreChecks = checksOf('host', [
  {
    code: 'host/key-store',
    title: 'the store of keys can be read',
    label: 'key store',
    hop: 'host',
    severity: 'error',
    needs: ['host'],
    after: [],
    explanation:
      'The server holds each key against the hashes in keys.json. While it runs it goes on with the keys that it read ' +
      'last; with a store that is damaged or gone it does not start again, and no key can be made or revoked.',
    judge: (seen) =>
      withHost(seen, ({ keyStore, files }) => {
        if (keyStore === 'none') return notApplicable('the deployment asks for no key');
        if (keyStore === 'fine') return pass();
        const path = files.find(({ what }) => what === 'key store')?.path ?? 'keys.json';
        return fail({
          title: keyStore === 'damaged' ? 'the store of keys is damaged' : 'the store of keys is gone',
          cause: keyStore === 'damaged' ? 'it was edited by hand, or written half' : 'it was deleted or moved',
          evidence: [
            {
              source: path,
              observed: keyStore === 'damaged' ? 'not a store of keys' : 'not there, or not readable',
              expected: 'JSON with the hashes of the keys',
            },
          ],
          fix: {
            summary:
              'Put it back from a backup; without one move it away and make new keys, which every client needs then.',
            commands: [
              ...(keyStore === 'damaged' ? [`mv ${shellWord(path)} ${shellWord(`${path}.damaged`)}`] : []),
              'mcp-deploy up',
            ],
          },
        });
      }),
  },
]);

/** Last: they endanger the deployment, but no call fails because of them. */
export const hostChecks = checksOf('host', [
  {
    code: 'host/file-modes',
    title: 'only the owner can read the keys',
    label: 'file modes',
    hop: 'host',
    severity: 'error',
    needs: ['host'],
    after: [],
    explanation:
      'The private keys of the CA and of the server, the API key of the owner and the store of key hashes must be readable ' +
      'by their owner alone (0600 or 0400), in a service of the host also by its group, and nobody else may write in the ' +
      'state folder. Windows has no such bits and is not judged.',
    judge: (seen) =>
      withHost(seen, ({ files }) => {
        if (files.length === 0) return notApplicable('this system has no permission bits');
        const seenFiles = files.filter(({ mode }) => mode !== null);
        if (seenFiles.length === 0) return unknown('no file could be looked at');
        const open = seenFiles.filter((file) => isTooOpen(file));
        if (open.length === 0) return pass();
        return fail({
          title:
            open.length === 1
              ? `${open[0]?.path ?? 'a file'} is open to others`
              : `${open.length} files are open to others`,
          cause: 'their modes were changed, or they were copied without them',
          evidence: open.map(({ path, what, mode, secret }) => ({
            source: path,
            observed: `${what}, mode ${(mode ?? 0).toString(8).padStart(4, '0')}`,
            expected: secret ? '0600' : 'not writable by others',
          })),
          fix: {
            summary: 'Close them; replace keys that others on this machine may have read.',
            commands: open.map(
              ({ path, secret, groupReads }) =>
                `chmod ${secret ? (groupReads === true ? '640' : '600') : 'go-w'} ${shellWord(path)}`,
            ),
          },
        });
      }),
  },
  {
    code: 'host/key-age',
    title: 'the API keys are younger than 90 days',
    label: 'key age',
    hop: 'host',
    severity: 'warning',
    needs: ['host'],
    after: ['host/key-store'],
    explanation:
      'The longer a key is in use, the more places it has been copied to. `keys rotate` makes a new one while the old one ' +
      'goes on working for a while.',
    judge: (seen) =>
      withHost(seen, ({ keys }) => {
        if (seen.target.own && !seen.target.keysRequired) return notApplicable('auth.required is false');
        if (keys === null) return unknown('the key store could not be read');
        if (keys.length === 0) return unknown('the key store holds no valid key');
        const old = keys.filter(({ ageDays }) => ageDays > oldKeyDays);
        if (old.length === 0) return pass(keys.length === 1 ? '1 key' : `${keys.length} keys`);
        return fail({
          title: old.length === 1 ? `the key "${old[0]?.label ?? ''}" is old` : `${old.length} keys are old`,
          cause: 'they were not rotated',
          evidence: old.map(({ label, id, ageDays }) => ({
            source: `key "${label}" (${id})`,
            observed: `${ageDays} days old`,
            expected: `at most ${oldKeyDays} days`,
          })),
          fix: {
            summary: 'Rotate them; both keys work during the overlap.',
            commands: old.map(({ label }) => `mcp-deploy keys rotate ${shellWord(label)}`),
          },
        });
      }),
  },
  {
    code: 'host/disk',
    title: 'there is room on the disk',
    label: 'disk',
    hop: 'host',
    severity: 'warning',
    needs: ['host'],
    after: [],
    explanation:
      'Keys, certificates and the journal are written whole or not at all, so a full disk loses nothing; but renewals and ' +
      'logs stop.',
    judge: (seen) =>
      withHost(seen, ({ disk }) => {
        if (disk === null) return unknown('the free space could not be read');
        const text = `${Math.floor(disk.freeBytes / 1_048_576)} MB free`;
        if (disk.freeBytes >= littleBytes) return pass();
        return fail({
          title: disk.freeBytes < noBytes ? 'the disk is full' : 'the disk is nearly full',
          cause: 'undetermined',
          severity: disk.freeBytes < noBytes ? 'error' : 'warning',
          evidence: [
            {
              source: `file system of ${disk.path}`,
              observed: text,
              expected: `at least ${littleBytes / 1_048_576} MB`,
            },
          ],
          fix: { summary: 'Make room; see what takes it.', commands: [`df -h ${shellWord(disk.path)}`] },
        });
      }),
  },
]);

function withHost({ host, target }: Observations, judge: (host: HostSeen) => Verdict): Verdict {
  if (!target.own) return notApplicable('the files of the server are not here');
  return host.status === 'ok' ? judge(host) : notSeen(host);
}

function isTooOpen({ mode, secret, groupReads }: FileSeen): boolean {
  return mode !== null && (mode & (secret ? (groupReads === true ? 0o037 : 0o077) : 0o022)) !== 0;
}
