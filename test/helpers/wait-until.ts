/** Waits for a condition, asked every 20 ms; throws when the deadline passes. Deadlines are multiplied on slow machines by WAIT_FACTOR. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  deadlineMs: number,
  what = 'the condition',
): Promise<void> {
  const until = performance.now() + deadlineMs * Number(process.env['WAIT_FACTOR'] ?? '1');
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`${what} did not come true within ${deadlineMs} ms`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}
