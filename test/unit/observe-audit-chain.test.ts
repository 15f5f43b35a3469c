import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createAuditChain } from '../../src/server/observe/audit-chain.ts';
import { listRotated } from '../../src/server/observe/append-file.ts';
import { renderAuditFields, type AuditEntry } from '../../src/server/observe/audit-line.ts';
import { addFormerKey, parseFormerKeys, type FormerAuditKey } from '../../src/server/observe/audit-keys.ts';
import { AuditVerifier, type AuditVerdict } from '../../src/server/observe/audit-verify.ts';
import { createAuditWriter, type AuditWriterOptions } from '../../src/server/observe/audit.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const entry: AuditEntry = {
  request: 'a1b2-1',
  id: 7,
  method: 'tools/call',
  status: 'ok',
  tool: 'écho',
  durationSeconds: 0.002,
  key: 'laptop',
  address: '192.0.2.1',
  era: 'modern',
  session: null,
  upstream: 'files',
  bytesIn: 120,
  bytesOut: 340,
  error: null,
};
const secret = Buffer.from('a secret of the chain, long enough');
const log = createLog({ level: 'error', write() {} });

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-chain-'));
  file = join(folder, 'audit.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function verify(text: string | readonly string[], key: Buffer | null = null, expected: string[] = []): AuditVerdict {
  const verifier = new AuditVerifier({ key, expected });
  for (const [index, each] of [text].flat().entries()) {
    verifier.startFile(`file-${index}`);
    let at = 0;
    for (const line of each.split('\n')) {
      const end = at + Buffer.byteLength(line) + 1;
      verifier.takeLine(line, at, end);
      at = end;
    }
  }
  return verifier.finish();
}

const found = (verdict: AuditVerdict): string[] =>
  verdict.firstBreaks.map(({ kind, file: where, line }) => `${kind} ${where}:${line}`);

async function writeLines(from: number, count: number, options: Partial<AuditWriterOptions> = {}): Promise<void> {
  const writer = createAuditWriter({ file, log, ...options });
  for (let id = from; id < from + count; id += 1) writer.write({ ...entry, id });
  await writer.close();
}

describe.each([
  ['without a key', null],
  ['with a key', secret],
] as const)('a chain %s', (_name, key) => {
  function lines(count = 10): string[] {
    const chain = createAuditChain(key);
    const fields = Array.from({ length: count }, (_, id) => renderAuditFields({ ...entry, id }));
    // In two batches: the second goes on where the first ended.
    return (
      chain.seal(fields.slice(0, 4), 0, () => ({ bytes: 0, hash: null })) +
      chain.seal(fields.slice(4), 0, () => ({ bytes: 0, hash: null }))
    )
      .trimEnd()
      .split('\n');
  }

  test('that nobody touched has no break', () => {
    expect(verify(lines().join('\n'), key)).toMatchObject({ breaks: 0, lines: 10, torn: 0, lost: 0 });
  });

  test.each<[string, (lines: string[]) => string[], string[]]>([
    ['an edited line', (all) => all.with(3, (all[3] ?? '').replace('laptop', 'office')), ['changed file-0:4']],
    ['an edited first line', (all) => all.with(0, (all[0] ?? '').replace('"ok"', '"no"')), ['changed file-0:1']],
    ['an edited last line', (all) => all.with(9, (all[9] ?? '').replace('"ok"', '"no"')), ['changed file-0:10']],
    ['a removed line', (all) => all.toSpliced(5, 1), ['missing file-0:6']],
    ['a removed first line', (all) => all.slice(1), []],
    ['several removed lines', (all) => all.toSpliced(2, 6), ['missing file-0:3']],
    ['a line twice', (all) => all.toSpliced(5, 0, all[2] ?? ''), ['repeated file-0:6']],
    [
      'two lines that changed places',
      (all) => all.with(3, all[4] ?? '').with(4, all[3] ?? ''),
      ['missing file-0:4', 'repeated file-0:5'],
    ],
    ['a line put in', (all) => all.toSpliced(5, 0, `${renderAuditFields(entry)}}`), ['unchained file-0:6']],
    [
      'a hash that was taken out',
      (all) => all.with(5, (all[5] ?? '').replace(/,"(?:hash|mac)":.*/, '}')),
      ['unchained file-0:6', 'missing file-0:7'],
    ],
    ['a line made unreadable', (all) => all.with(5, '{"time":"20'), ['missing file-0:7']],
  ])('%s is found, with its place', (_case, tamper, expected) => {
    const verdict = verify(tamper(lines()).join('\n'), key);
    expect(found(verdict)).toEqual(expected);
    if (expected.length === 0) expect(verdict.beginningsElsewhere).toBe(1);
  });

  test('lines cut off at the end are found by a hash that was kept, and only by it', () => {
    const all = lines();
    const kept = verify(all.join('\n'), key).heads.map(({ hash }) => hash);
    const cut = all.slice(0, 8).join('\n');
    expect(verify(cut, key).breaks).toBe(0);
    expect(found(verify(cut, key, kept))).toEqual(['cut file-0:8']);
    expect(verify(all.join('\n'), key, kept).breaks).toBe(0);
  });

  test('lines with the other kind of seal are refused', () => {
    expect(verify(lines().join('\n'), key === null ? secret : null).firstBreaks[0]?.kind).toBe('wrong-key');
    if (key !== null)
      expect(found(verify(lines().join('\n'), Buffer.from('another secret, long enough')))[0]).toBe(
        'wrong-key file-0:1',
      );
  });

  test('chains of several processes stand between each other, and each is judged by itself', () => {
    const [a, b] = [lines(), lines()];
    const mixed = a.flatMap((line, index) => [line, b[index] ?? '']);
    expect(verify(mixed.join('\n'), key).breaks).toBe(0);
    expect(found(verify(mixed.toSpliced(7, 1).join('\n'), key))).toEqual(['missing file-0:9']);
  });

  test('a chain goes on over files, and a file that is missing in between is found', () => {
    const all = lines();
    const files = [all.slice(0, 3), all.slice(3, 6), all.slice(6)].map((part) => `${part.join('\n')}\n`);
    expect(verify(files, key).breaks).toBe(0);
    expect(found(verify(files.toSpliced(1, 1), key))).toEqual(['missing file-1:1']);
    expect(found(verify(files.toReversed(), key))).not.toEqual([]);
  });
});

describe('a restart', () => {
  test('begins a chain that names the end of the file that it found', async () => {
    await writeLines(0, 5);
    await writeLines(5, 5);
    await writeLines(10, 5);
    const text = readFileSync(file, 'utf8');
    expect(verify(text)).toMatchObject({ breaks: 0, lines: 15 });
    const all = text.trimEnd().split('\n');
    // Cut off before a restart, or a whole run taken out: no chain of its own misses them.
    expect(found(verify(all.toSpliced(4, 1).join('\n')))).toEqual(['cut file-0:5', 'cut file-0:10']);
    expect(found(verify(all.toSpliced(5, 5).join('\n')))).toEqual(['cut file-0:6']);
  });

  test('behind a torn line, and behind lines from before there was a chain, is no break', async () => {
    const old = `${renderAuditFields(entry)}}\n`;
    writeFileSync(file, old + old);
    await writeLines(0, 3);
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"time":"2026-01-01T0`);
    await writeLines(3, 3);
    expect(verify(readFileSync(file, 'utf8'))).toMatchObject({ breaks: 0, unprotected: 2, torn: 1, lines: 9 });
  });

  test('with many others that wrote meanwhile is no break', async () => {
    const first = createAuditWriter({ file, log });
    const second = createAuditWriter({ file, log });
    for (let id = 0; id < 500; id += 1) {
      first.write({ ...entry, id });
      second.write({ ...entry, id });
      if (id % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([first.close(), second.close()]);
    expect(verify(readFileSync(file, 'utf8'))).toMatchObject({ breaks: 0, lines: 1_000 });
  });
});

describe('rotation', () => {
  const rotate = { bytes: 20_000, ageMs: 3_600_000, keep: null, gzip: false };
  const textOf = (path: string): string => readFileSync(path, 'utf8');

  test('by size loses nothing, and the chain goes on over all files', async () => {
    const writer = createAuditWriter({ file, log, flushMs: 1, lookMs: 0, rotate });
    for (let id = 0; id < 1_000; id += 1) {
      writer.write({ ...entry, id });
      if (id % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await writer.close();
    const rotated = listRotated(file);
    expect(rotated.length).toBeGreaterThan(3);
    expect(verify([...rotated, file].map(textOf))).toMatchObject({ breaks: 0, lines: 1_000, beginningsElsewhere: 0 });
  });

  test('by age goes by the first line of the file, also of an earlier run', async () => {
    writeFileSync(file, `${renderAuditFields(entry, Date.now() - 7_200_000)}}\n`);
    await writeLines(0, 1, { lookMs: 0, rotate: { ...rotate, bytes: 1e9 } });
    expect(listRotated(file)).toHaveLength(1);
    expect(textOf(file).split('\n')).toHaveLength(2);
  });

  test('keeps as many old files as it is told', async () => {
    const writer = createAuditWriter({ file, log, flushMs: 1, lookMs: 0, rotate: { ...rotate, bytes: 1, keep: 2 } });
    for (let id = 0; id < 6; id += 1) {
      writer.write({ ...entry, id });
      await waitUntil(() => textOf(file).includes(`"id":${id},`), 5_000, `line ${id}`);
    }
    await writer.close();
    await waitUntil(() => listRotated(file).length === 2, 5_000, 'old files removed');
    const [lastKept = ''] = listRotated(file).toReversed();
    expect(textOf(lastKept)).toContain('"id":4');
  });

  test('a lock that a killed process left behind does not stop it for ever', async () => {
    const { utimesSync } = await import('node:fs');
    writeFileSync(`${file}.lock`, '');
    utimesSync(`${file}.lock`, 1_000, 1_000);
    const writer = createAuditWriter({ file, log, flushMs: 1, lookMs: 0, rotate: { ...rotate, bytes: 1 } });
    let id = 0;
    await waitUntil(
      () => {
        writer.write({ ...entry, id: id++ });
        return listRotated(file).length > 0;
      },
      5_000,
      'a rotation',
    );
    await writer.close();
  });

  test('a file that was moved away without a word is noticed', async () => {
    const { renameSync, existsSync } = await import('node:fs');
    const writer = createAuditWriter({ file, log, flushMs: 1, lookMs: 0 });
    writer.write({ ...entry, id: 0 });
    await waitUntil(() => textOf(file) !== '', 5_000, 'the first line');
    renameSync(file, `${file}.1`);
    let id = 1;
    await waitUntil(
      () => {
        writer.write({ ...entry, id: id++ });
        return existsSync(file);
      },
      5_000,
      'the new file',
    );
    await writer.close();
    expect(verify([textOf(`${file}.1`), textOf(file)])).toMatchObject({ breaks: 0, lines: id });
  });
});

describe('another key', () => {
  const next = Buffer.from('the next secret of the chain, as long');
  const minuteMs = 60_000;
  const rotatedAtMs = Date.parse('2026-06-01T12:00:00Z');
  const chainOf = (key: Buffer, minutes: readonly number[], after: string): string =>
    createAuditChain(key).seal(
      minutes.map((minute, id) => renderAuditFields({ ...entry, id }, rotatedAtMs + minute * minuteMs)),
      0,
      () => ({ bytes: Buffer.byteLength(after), hash: /"mac":"([^"]+)"\}\n$/.exec(after)?.[1] ?? null }),
    );
  const former = [{ key: secret, replacedAtMs: rotatedAtMs }];
  const judge = (text: string, options: { key?: Buffer; former?: readonly FormerAuditKey[] } = {}): AuditVerdict => {
    const verifier = new AuditVerifier({ key: next, former, ...options });
    verifier.startFile('file-0');
    let at = 0;
    for (const line of text.split('\n')) {
      const end = at + Buffer.byteLength(line) + 1;
      verifier.takeLine(line, at, end);
      at = end;
    }
    return verifier.finish();
  };
  const old = chainOf(secret, [-3, -2, -1], '');
  const both = old + chainOf(next, [1, 2, 30], old);

  test('lines before and after the rotation are judged in one go, each with its own key', () => {
    expect(judge(both)).toMatchObject({ breaks: 0, lines: 6, beginningsElsewhere: 0 });
    expect(both.match(/"mac_key":"[\w-]{12}"/g)).toHaveLength(2);
    // The end of a file that was rotated away, and a chain of a server that named no key yet.
    expect(judge(both.split('\n').slice(1).join('\n')).beginningsElsewhere).toBe(1);
    expect(judge(both, { former: [...former, { key: next, replacedAtMs: rotatedAtMs }] }).breaks).toBe(0);
  });

  test.each([1, 4])('an edited line %i is found, in the old part as in the new one', (at) => {
    const lines = both.split('\n');
    lines[at] = lines[at]?.replace('"tool":"écho"', '"tool":"other"') ?? '';
    expect(found(judge(lines.join('\n')))).toEqual([`changed file-0:${at + 1}`]);
  });

  test('without the former key its lines are not taken for good', () => {
    expect(found(judge(both, { former: [] }))).toContain('wrong-key file-0:1');
  });

  test('a server that noticed late is no forger; a line of the former key behind later ones is one', () => {
    const late = both.replace(/[^\n]*\n$/, '');
    expect(judge(late + chainOf(secret, [3], late)).breaks).toBe(0);
    const forged = both + chainOf(secret, [-1], both);
    expect(found(judge(forged))).toEqual(['wrong-key file-0:7']);
  });

  test('a writer goes on with it in the same file, and nothing is lost', async () => {
    const writer = createAuditWriter({ file, log, chainKey: secret });
    for (let id = 0; id < 50; id += 1) writer.write({ ...entry, id });
    await waitUntil(() => readFileSync(file, 'utf8').split('\n').length === 51, 10_000);
    await writer.useKey(next);
    for (let id = 50; id < 100; id += 1) writer.write({ ...entry, id });
    await writer.close();
    expect(judge(readFileSync(file, 'utf8'))).toMatchObject({ breaks: 0, lines: 100 });
  });

  test('the file of former keys keeps each once, and passes over what is none', () => {
    const text = addFormerKey(addFormerKey('', { key: secret, replacedAtMs: 1 }), { key: next, replacedAtMs: 2 });
    expect(parseFormerKeys(`# note\n${text}`).map(({ key }) => key)).toEqual([secret, next]);
    const again = addFormerKey(text, { key: secret, replacedAtMs: rotatedAtMs });
    expect(parseFormerKeys(again)).toEqual([{ key: next, replacedAtMs: 2 }, ...former]);
  });
});
