import { refuseControls } from './refuse.ts';

/**
 * The exec form of CMD, ENTRYPOINT and HEALTHCHECK: a JSON array, in which
 * neither the builder nor a shell fills anything.
 * Throws a UserError for control characters: an instruction is one line.
 * Source: https://docs.docker.com/reference/dockerfile/#exec-form
 */
export function quoteDockerfileExec(argv: readonly string[], place: string): string {
  for (const argument of argv) refuseControls(argument, place, 'a Dockerfile');
  return `[${argv.map((argument) => JSON.stringify(argument)).join(', ')}]`;
}
