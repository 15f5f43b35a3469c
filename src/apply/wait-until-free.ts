import { EnvironmentError } from '../deployment/errors.ts';
import type { Action } from '../plan/action.ts';
import type { ActContext } from './act.ts';

const pollMs = 20;

/** Waits until nobody listens on any of the ports. @throws EnvironmentError that names who still does */
export async function waitUntilFree(
  { ports, next, timeoutMs }: Extract<Action, { type: 'wait-until-free' }>,
  { ports: { endpoint, clock }, signal, onDoing }: Pick<ActContext, 'ports' | 'signal' | 'onDoing'>,
): Promise<string> {
  const startedAt = clock.elapsed();
  for (;;) {
    signal.throwIfAborted();
    const held = await findHeld(ports, endpoint);
    const waitedMs = clock.elapsed() - startedAt;
    if (held === null) return `free after ${Math.round(waitedMs)} ms`;
    if (waitedMs >= timeoutMs) {
      throw new EnvironmentError(`Port ${held.port} is still held by ${held.holder ?? 'another program'}.`, {
        why: `It serves something else there as well, and ${next} cannot take a port that another program has.`,
        next: `Move what else listens there to another port, or stop it, then run the command again: ss -ltnp 'sport = :${held.port}'`,
      });
    }
    onDoing(`port ${held.port} is held by ${held.holder ?? 'another program'}`, waitedMs);
    await clock.sleep(pollMs, signal);
  }
}

async function findHeld(
  ports: readonly number[],
  endpoint: ActContext['ports']['endpoint'],
): Promise<{ readonly port: number; readonly holder: string | null } | null> {
  for (const port of ports) {
    const found = await endpoint.portHolder(port);
    if (found.taken) return { port, holder: found.holder };
  }
  return null;
}
