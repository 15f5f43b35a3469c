import { randomUUID } from 'node:crypto';

/** `w1-` before a random UUID: whose it is can be told, and still nobody can guess one. */
const form = /^w(\d{1,3})-/;

export function makeWorkerId(slot: number): string {
  return `w${slot}-${randomUUID()}`;
}

/** The worker that an id names; null for an id of another form. */
export function slotOfId(id: string): number | null {
  // Most calls carry an id of ours: the first letter decides for the others.
  if (id.charCodeAt(0) !== 0x77) return null;
  const found = form.exec(id);
  return found === null ? null : Number(found[1]);
}
