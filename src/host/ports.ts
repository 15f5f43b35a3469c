import type { ApplyPorts } from '../apply/ports.ts';
import { createClock } from './clock.ts';
import { createEndpoint } from './endpoint.ts';
import { createFileSystem } from './files.ts';
import { createIssuer } from './issuer.ts';
import { createProcesses } from './processes.ts';

/** The real machine behind every port of the interpreter. Touches nothing until a method is called. */
export function createPorts(): ApplyPorts {
  const clock = createClock();
  return {
    clock,
    files: createFileSystem(),
    processes: createProcesses(),
    issuer: createIssuer(clock),
    endpoint: createEndpoint(),
  };
}
