import type { FoundAnswer } from '../backends/shared-shelf.ts';

/** Before the text of an answer: version of the form, epoch, milliseconds that it was kept for when it was new. */
const headForm = /^1 ([0-9a-f-]{36}) ([1-9]\d{0,8})$/;

/**
 * What another replica has written, or somebody else: anything but the result of such a method is null. The text is
 * written anew, so that no line break or second name of a member comes through. Pure.
 */
export function parseSharedAnswer(
  text: unknown,
  leftMs: unknown,
  method: string,
): (FoundAnswer & { readonly epoch: string }) | null {
  if (typeof text !== 'string' || typeof leftMs !== 'number' || leftMs <= 0) return null;
  const end = text.indexOf('\n');
  const [, epoch, lives] = headForm.exec(text.slice(0, Math.max(0, end))) ?? [];
  if (epoch === undefined || lives === undefined) return null;
  const ageMs = Math.max(0, Number(lives) - leftMs);
  try {
    const result: unknown = JSON.parse(text.slice(end + 1));
    if (!isRecord(result) || !isResultOf(method, result)) return null;
    const { ttlMs } = result;
    // What it gave itself to live is told less the time that it lay there.
    const told = typeof ttlMs === 'number' ? { ...result, ttlMs: Math.max(0, Math.round(ttlMs - ageMs)) } : result;
    return { json: JSON.stringify(told), ageMs, leftMs, epoch };
  } catch {
    return null;
  }
}

function isResultOf(method: string, result: Readonly<Record<string, unknown>>): boolean {
  const parts = result[method === 'tools/call' ? 'content' : 'contents'];
  const name = method === 'tools/call' ? 'type' : 'uri';
  return Array.isArray(parts) && parts.every((part) => isRecord(part) && typeof part[name] === 'string');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
