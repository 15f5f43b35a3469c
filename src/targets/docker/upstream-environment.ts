import { variablesIn } from '../../deployment/fill-variables.ts';
import type { Deployment } from '../../deployment/schema.ts';

/** Variables of the outside that upstreams refer to, each once: only their `env` is ever filled. */
export function variablesOf(deployment: Deployment): readonly string[] {
  return [...new Set(entries(deployment).flatMap(({ value }) => variablesIn(value)))];
}

/** Settings that look like secrets written out, as dotted paths: they would be in every layer and copy of the image. */
export function literalSecretsOf(deployment: Deployment): readonly string[] {
  return entries(deployment)
    .filter(({ name, value }) => /key|token|secret|passw|credential/i.test(name) && variablesIn(value).length === 0)
    .filter(({ value }) => value !== '')
    .map(({ upstream, name }) => `server.upstreams.${upstream}.env.${name}`);
}

function entries({ server }: Deployment): readonly { upstream: string; name: string; value: string }[] {
  return Object.entries(server.upstreams).flatMap(([upstream, { env }]) =>
    Object.entries(env).map(([name, value]) => ({ upstream, name, value })),
  );
}
