import { expect, test } from 'vitest';
import type { CommandContext } from '../../src/cli/context.ts';
import { proveRotation, type KeyProbe } from '../../src/cli/prove-rotation.ts';
import { createKeyIn, hashKey, parseKeyStore, rotateKeyIn } from '../../src/server/policy/key-store.ts';

/** A clock that only moves when somebody sleeps, and a server that takes the store up 700 ms after it is written. */
function laboratory(server: { readonly takesUp: boolean; readonly endsOverlaps: boolean }) {
  let nowMs = Date.parse('2026-01-01T00:00:00.000Z');
  const first = createKeyIn(null, { label: 'ci', now: new Date(nowMs).toISOString() });
  const writes: { readonly text: string; readonly atMs: number }[] = [{ text: first.storeText, atMs: nowMs - 10_000 }];
  const context = {
    signal: new AbortController().signal,
    ports: {
      clock: {
        now: () => new Date(nowMs).toISOString(),
        elapsed: () => nowMs,
        sleep: async (ms: number) => void (nowMs += ms),
      },
    },
  } as unknown as CommandContext;
  const probe: KeyProbe = {
    async accepts(key) {
      const known = writes.findLast(({ atMs }, index) => (index === 0 || server.takesUp) && atMs + 700 <= nowMs);
      const store = parseKeyStore(known?.text ?? '');
      const found = store.keys.find(({ hash }) => hash === hashKey(store.salt, key));
      if (found === undefined) return false;
      return !server.endsOverlaps || found.expiresAt === undefined || Date.parse(found.expiresAt) > nowMs;
    },
    close() {},
  };
  const write = async (text: string): Promise<void> => void writes.push({ text, atMs: nowMs });
  const rotated = (overlapSeconds: number) =>
    rotateKeyIn(first.storeText, { label: 'ci', overlapSeconds, now: new Date(nowMs).toISOString() });
  return { context, probe, write, writes, rotated, oldKey: first.key };
}

async function prove(
  server: { readonly takesUp: boolean; readonly endsOverlaps: boolean },
  overlapSeconds: number,
  knowsOld = true,
) {
  const { context, probe, write, writes, rotated, oldKey } = laboratory(server);
  const made = rotated(overlapSeconds);
  await write(made.storeText);
  const proof = await proveRotation(
    context,
    probe,
    {
      storeText: made.storeText,
      newKey: made.key,
      oldKey: knowsOld ? oldKey : null,
      overlapMs: overlapSeconds * 1_000,
    },
    write,
  );
  expect(writes.at(-1)?.text).toBe(made.storeText);
  return {
    ok: proof.ok,
    failed: proof.facts.filter(({ ok }) => !ok).map(({ what }) => what),
    facts: proof.facts.length,
  };
}

test('a server that does as it should proves every kind of rotation, and the store is as the rotation left it', async () => {
  const well = { takesUp: true, endsOverlaps: true };
  expect(await prove(well, 3_600)).toEqual({ ok: true, failed: [], facts: 6 });
  expect(await prove(well, 20)).toEqual({ ok: true, failed: [], facts: 3 });
  expect(await prove(well, 0)).toEqual({ ok: true, failed: [], facts: 2 });
  expect(await prove(well, 3_600, false)).toEqual({ ok: true, failed: [], facts: 5 });
});

test('a server that never takes new keys up, or lets old ones live, is found out', async () => {
  const deaf = await prove({ takesUp: false, endsOverlaps: true }, 3_600);
  expect(deaf.failed).toContain('the new key works');
  const lax = { takesUp: true, endsOverlaps: false };
  expect((await prove(lax, 20)).failed).toEqual(['the old key is refused after the overlap']);
  expect((await prove(lax, 86_400)).failed).toEqual(['its old one is refused after an overlap']);
});
