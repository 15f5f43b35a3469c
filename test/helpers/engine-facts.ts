import type { ContainerFacts } from '../../src/plan/container-facts.ts';

/** What is seen of a machine whose container engine is ready and runs nothing yet. */
export function engineFacts(changes: Partial<ContainerFacts> = {}): ContainerFacts {
  return {
    engine: { state: 'ready', version: '20.10.24', swarm: 'manager' },
    compose: { argv: ['docker-compose'], major: 1 },
    buildx: false,
    images: ['node:24-bookworm-slim', 'haproxy:3.2'],
    containers: [],
    secretSources: {},
    secretCopies: {},
    uid: 1_000,
    gid: 1_000,
    ...changes,
  };
}
