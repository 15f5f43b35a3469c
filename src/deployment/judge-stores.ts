import type { MeaningProblem } from './judge-texts.ts';
import type { Deployment } from './schema.ts';

/** Kept answers in a Redis that nobody names. */
export function judgeCacheStore(deployment: Deployment): MeaningProblem[] {
  const { cache } = deployment.server;
  if (cache === 'off' || cache.store === 'memory' || hasRedis(deployment)) return [];
  return [
    {
      path: ['server', 'cache', 'store'],
      message: 'says redis, but no Redis is named',
      hint: 'add redis: { url: redis://127.0.0.1:6379 }, or write memory',
    },
  ];
}

/** Sessions in a Redis that nobody names, or of processes that cannot be handed over. */
export function judgeSessionStore(deployment: Deployment): MeaningProblem[] {
  const { server } = deployment;
  if (server.sessions.store === 'memory') return [];
  const path = ['server', 'sessions', 'store'];
  if (!hasRedis(deployment)) {
    const hint = 'add redis: { url: redis://127.0.0.1:6379 }, or write memory';
    return [{ path, message: 'says redis, but no Redis is named', hint }];
  }
  const own = Object.entries(server.upstreams).filter(
    ([, each]) => 'command' in each && each.instances === 'per-session',
  );
  return own.map(([name]) => ({
    path: ['server', 'upstreams', name, 'instances'],
    message: 'a process of one session cannot be handed to another server, which server.sessions.store: redis asks for',
    hint: 'write instances: shared, or server.sessions.store: memory',
  }));
}

/** Named, or one beside the containers that are applied. */
function hasRedis({ redis, container, service }: Deployment): boolean {
  return redis !== 'off' || (container.redis && (service.manager === 'docker' || service.manager === 'swarm'));
}
