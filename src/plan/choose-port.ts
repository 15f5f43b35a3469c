import { EnvironmentError } from '../deployment/errors.ts';

const portsToTry = 50;

/** The wanted port, or the next one that is free. Throws EnvironmentError when 50 in a row are taken. */
export async function choosePort(
  wanted: number,
  isTaken: (port: number) => boolean | Promise<boolean>,
): Promise<number> {
  const last = Math.min(wanted + portsToTry - 1, 65_535);
  for (let port = wanted; port <= last; port += 1) {
    if (!(await isTaken(port))) return port;
  }
  throw new EnvironmentError(`No free port from ${wanted} to ${last}.`, {
    why: 'All of them are held by other programs.',
    next: 'Name a free one: mcp-deploy up --listen localhost:PORT',
  });
}
