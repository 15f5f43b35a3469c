import type { ExplainedError } from '../deployment/errors.ts';

/** What a refusal to start looks like on standard error: what, why, what to do, and the lines it is about. */
export function formatProblem(error: ExplainedError): string {
  const lines = [`error   ${error.message}`];
  if (error.why !== undefined) lines.push(`        ${error.why}`);
  if (error.next !== undefined) lines.push(`        ${error.next}`);
  for (const line of error.excerpt) lines.push(`  ${line}`);
  return `${lines.join('\n')}\n`;
}
