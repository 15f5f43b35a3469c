import { stripVTControlCharacters } from 'node:util';
import type { World } from '../world.ts';
import type { Output } from './output.ts';

/** Whether what was shown can be shown over again in its place. */
export function canRedraw(world: World, output: Output): boolean {
  return world.stdout.isTTY === true && !output.json && world.env['TERM'] !== 'dumb';
}

/** Draws lines over those of the former call; no line wraps, and no more are drawn than the terminal has rows. */
export function createScreen(world: World, output: Output): (lines: readonly string[]) => void {
  let drawn = 0;
  return (all) => {
    const columns = world.stdout.columns ?? 80;
    const rows = (world.stdout.rows ?? 0) > 4 ? (world.stdout.rows as number) - 1 : Number.POSITIVE_INFINITY;
    const lines = all.length <= rows ? all : [...all.slice(0, rows - 2), '  …', ...all.slice(-1)];
    // Up, then over what was drawn line by line: clearing all of it first flickers.
    const up = drawn === 0 ? '' : `\u001b[${drawn}A`;
    output.raw(`${up}${lines.map((line) => `${cut(line, columns)}\u001b[K\n`).join('')}\u001b[J`);
    drawn = lines.length;
  };
}

/** A line that would wrap would be counted wrong; one that is too long loses its colours with its end. */
function cut(line: string, columns: number): string {
  const plain = stripVTControlCharacters(line);
  return plain.length <= columns ? line : `${plain.slice(0, columns - 1)}…`;
}
