import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { packTar, type TarHeader } from 'modern-tar';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupManifest } from '../../src/backup/backup-manifest.ts';
import { ExplainedError } from '../../src/deployment/errors.ts';
import { collectFiles } from '../../src/host/backup/collect-files.ts';
import { readArchive } from '../../src/host/backup/read-archive.ts';
import { writeArchive, type Lock } from '../../src/host/backup/write-archive.ts';
import { runProgram } from '../helpers/cli.ts';
import { seededRandom } from '../helpers/seeded-random.ts';
import { testWithTools } from '../helpers/tools.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-backup-'));
  writeFileSync(join(folder, 'mcp-deploy.yaml'), 'version: 1\n', { mode: 0o644 });
  writeFileSync(join(folder, 'default.key'), `mcp_${'k'.repeat(40)}\n`, { mode: 0o600 });
  writeFileSync(join(folder, 'big.mjs'), Buffer.alloc(700_000, 'line of a module\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const empty: Omit<BackupManifest, 'files'> = {
  format: 'mcp-deploy-backup',
  formatVersion: 1,
  createdAt: '2026-11-21T18:00:00.000Z',
  toolVersion: '0.1.0',
  deployment: 'mcp',
  withSecrets: true,
  withLogs: false,
  hostName: 'here',
  leftOut: [],
};

async function writeBackup(name: string, lock: Lock): Promise<string> {
  const file = join(folder, name);
  const collected = await collectFiles(
    [
      { name: 'mcp-deploy.yaml', file: join(folder, 'mcp-deploy.yaml'), secret: false },
      { name: 'state/keys/default.key', file: join(folder, 'default.key'), secret: true },
      { name: 'beside/big.mjs', file: join(folder, 'big.mjs'), secret: false },
    ],
    folder,
  );
  const files = collected.files.map(({ path, size, sha256, mode }) => ({ path, size, sha256, mode }));
  await writeArchive(file, { ...empty, files }, collected.files, lock);
  await collected.close();
  return file;
}

/** What a reader says, or null when it takes the archive. */
async function refusal(file: string, key: Parameters<typeof readArchive>[1] = null): Promise<string | null> {
  try {
    await readArchive(file, key);
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(ExplainedError);
    return `${(error as ExplainedError).message} ${(error as ExplainedError).why ?? ''}`;
  }
}

describe('a backup', () => {
  test(
    'is read back as it was written: in clear, with a passphrase, with an identity',
    { timeout: 120_000 },
    async () => {
      const identity = await generateX25519Identity();
      const recipients = [await identityToRecipient(identity)];
      for (const [name, lock, key] of [
        ['a.tar.gz', null, null],
        ['a.tar.gz.age', { passphrase: 'a long one' }, { passphrase: 'a long one' }],
        ['b.tar.gz.age', { recipients }, { identities: `# comment\n${identity}\n` }],
      ] as const) {
        const file = await writeBackup(name, lock);
        const got: Record<string, string> = {};
        const manifest = await readArchive(file, key, async ({ path }, content) => {
          const hash = createHash('sha256');
          for await (const chunk of content) hash.update(chunk);
          got[path] = hash.digest('hex');
        });
        expect(Object.keys(got)).toEqual(['mcp-deploy.yaml', 'state/keys/default.key', 'beside/big.mjs']);
        expect(manifest.files.map(({ sha256 }) => sha256)).toEqual(Object.values(got));
        const holdsKey = gunzipIfPossible(file).includes('mcp_kkkk');
        expect(holdsKey).toBe(lock === null);
      }
    },
  );

  test('does not open with another passphrase or identity, and says so', { timeout: 120_000 }, async () => {
    const passphrase = join(folder, 'a.tar.gz.age');
    expect(await refusal(passphrase, { passphrase: 'wrong' })).toMatch(/does not open with this passphrase/);
    expect(await refusal(passphrase)).toMatch(/is encrypted/);
    const recipients = [await identityToRecipient(await generateX25519Identity())];
    const other = await writeBackup('d.tar.gz.age', { recipients });
    expect(await refusal(other, { identities: await generateX25519Identity() })).toMatch(
      /does not open with this identity/,
    );
    expect(await refusal(other, { identities: 'nothing' })).toMatch(/no identity of age/);
  });

  test('with any one bit flipped, or cut anywhere, is refused', async () => {
    const identity = await generateX25519Identity();
    const recipients = [await identityToRecipient(identity)];
    const cases = [
      { file: await writeBackup('e.tar.gz', null), key: null },
      { file: await writeBackup('e.tar.gz.age', { recipients }), key: { identities: identity } },
    ];
    const random = seededRandom(7);
    for (const { file, key } of cases) {
      const whole = readFileSync(file);
      const broken = join(folder, `broken-${file.endsWith('.age') ? 'x.tar.gz.age' : 'x.tar.gz'}`);
      for (let round = 0; round < 60; round++) {
        const bytes = Buffer.from(whole);
        const at = random.below(bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        // Name, time and system in the header of gzip are no content, and no reader looks at them.
        if (key === null && at < 10) continue;
        writeFileSync(broken, bytes);
        expect(await refusal(broken, key), `bit at ${at}`).not.toBeNull();
        writeFileSync(broken, whole.subarray(0, random.below(whole.length)));
        expect(await refusal(broken, key)).not.toBeNull();
      }
      writeFileSync(broken, Buffer.concat([whole, Buffer.from('more')]));
      expect(await refusal(broken, key)).not.toBeNull();
    }
  });

  testWithTools(['age', 'tar'], 'opens with the programs age and tar alone', async () => {
    const identity = await generateX25519Identity();
    const file = await writeBackup('f.tar.gz.age', { recipients: [await identityToRecipient(identity)] });
    writeFileSync(join(folder, 'id.txt'), `${identity}\n`);
    const script = 'age -d -i id.txt f.tar.gz.age | tar xzO state/keys/default.key';
    const opened = await runProgram('/bin/sh', ['-c', script], { cwd: folder });
    expect(opened.stdout).toBe(readFileSync(join(folder, 'default.key'), 'utf8'));
    expect(file).toContain('f.tar.gz.age');
  });
});

describe('an archive that was made to hurt is refused, and says why', () => {
  const body = Buffer.from('x');
  const fine = {
    path: 'mcp-deploy.yaml',
    size: 1,
    sha256: createHash('sha256').update(body).digest('hex'),
    mode: 0o644,
  };
  type Entry = { header: TarHeader; body?: Buffer };
  const entryOf = (name: string, more: Partial<TarHeader> = {}): Entry => ({
    header: { name, size: 1, type: 'file', ...more },
    ...((more.type ?? 'file') === 'file' ? { body } : {}),
  });
  const cases: readonly (readonly [
    string,
    { manifest?: object; files?: object[]; entries?: Entry[]; said: RegExp },
  ])[] = [
    [
      'a name with ../',
      { files: [{ ...fine, path: 'beside/../../etc/passwd' }], entries: [], said: /leaves its folder/ },
    ],
    ['an absolute name', { files: [{ ...fine, path: '/etc/passwd' }], entries: [], said: /is absolute/ }],
    ['a name of Windows', { files: [{ ...fine, path: 'C:/x' }], entries: [], said: /is absolute/ }],
    ['a backslash', { files: [{ ...fine, path: 'beside/a\\..\\b' }], entries: [], said: /backslash/ }],
    ['a line break', { files: [{ ...fine, path: 'beside/a\nb' }], entries: [], said: /control character/ }],
    ['the lock', { files: [{ ...fine, path: 'state/lock' }], entries: [], said: /none that a restore/ }],
    [
      'a journal',
      { files: [{ ...fine, path: 'state/journal/1-apply.jsonl' }], entries: [], said: /none that a restore/ },
    ],
    [
      'the state folder by another way',
      { files: [{ ...fine, path: 'beside/.mcp-deploy/lock' }], entries: [], said: /by another name/ },
    ],
    ['one name twice', { files: [fine, fine], said: /twice/ }],
    [
      'a link',
      {
        entries: [entryOf('mcp-deploy.yaml', { type: 'symlink', linkname: '/etc/shadow', size: 0 })],
        said: /is a symlink/,
      },
    ],
    [
      'a hard link',
      { entries: [entryOf('mcp-deploy.yaml', { type: 'link', linkname: '/etc/shadow', size: 0 })], said: /is a link/ },
    ],
    [
      'a device',
      { entries: [entryOf('mcp-deploy.yaml', { type: 'character-device', size: 0 })], said: /character-device/ },
    ],
    ['a pipe', { entries: [entryOf('mcp-deploy.yaml', { type: 'fifo', size: 0 })], said: /fifo/ }],
    ['a file of 10 GB', { files: [{ ...fine, size: 10_737_418_240 }], said: /manifest is not as it should be/ }],
    [
      '10 GB in parts',
      {
        files: Array.from({ length: 10 }, (_, n) => ({ ...fine, path: `beside/${n}`, size: 1_073_741_824 })),
        said: /more than any backup/,
      },
    ],
    [
      'more than the manifest says',
      { entries: [entryOf('mcp-deploy.yaml'), entryOf('beside/extra')], said: /knows nothing/ },
    ],
    ['less than the manifest says', { entries: [], said: /cut off/ }],
    ['another file than the manifest says', { entries: [entryOf('beside/other')], said: /where its manifest says/ }],
    ['another size', { files: [{ ...fine, size: 2 }], said: /its manifest says 2/ }],
    ['another content', { files: [{ ...fine, sha256: 'b'.repeat(64) }], said: /not what was backed up/ }],
    ['a future version', { manifest: { formatVersion: 2, news: true }, said: /format 2; this mcp-deploy knows 1/ }],
    ['another format', { manifest: { format: 'else' }, said: /manifest is not/ }],
  ];

  test.each(cases)('%s', async (_, { manifest = {}, files = [fine], entries = [entryOf('mcp-deploy.yaml')], said }) => {
    const text = Buffer.from(JSON.stringify({ ...empty, files, ...manifest }));
    const packed = await packTar([{ header: { name: 'manifest.json', size: text.length }, body: text }, ...entries]);
    const file = join(folder, 'hostile.tar.gz');
    writeFileSync(file, gzipSync(packed));
    expect(await refusal(file)).toMatch(said);
  });

  test('gigabytes out of a few bytes of gzip', async () => {
    const text = Buffer.from(JSON.stringify({ ...empty, files: [fine] }));
    const packed = await packTar([
      { header: { name: 'manifest.json', size: text.length }, body: text },
      { header: { name: 'mcp-deploy.yaml', size: 1 }, body },
    ]);
    const file = join(folder, 'bomb.tar.gz');
    writeFileSync(file, gzipSync(Buffer.concat([packed, Buffer.alloc(64_000_000)])));
    expect(await refusal(file)).toMatch(/unpacks to more/);
  });

  test.each([
    ['no gzip', Buffer.from('hello')],
    ['nothing', Buffer.alloc(0)],
    ['a tar of something else', gzipSync(Buffer.alloc(1_024))],
  ])('%s', async (_, bytes) => {
    const file = join(folder, 'odd.tar.gz');
    writeFileSync(file, bytes);
    expect(await refusal(file)).toMatch(/damaged/);
  });
});

function gunzipIfPossible(file: string): Buffer {
  const bytes = readFileSync(file);
  return bytes[0] === 0x1f ? gunzipSync(bytes) : bytes;
}
