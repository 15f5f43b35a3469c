import { variablesIn } from '../../deployment/fill-variables.ts';
import type { Deployment } from '../../deployment/schema.ts';

/** Variables of the outside that the deployment refers to, each once: only these places are ever filled. */
export function variablesOf(deployment: Deployment): readonly string[] {
  const { redis, auth, container } = deployment;
  const texts = [
    ...entries(deployment).map(({ value }) => value),
    ...auth.keys.map(({ secret }) => secret),
    ...(redis === 'off' || container.redis ? [] : [redis.url]),
  ];
  return [...new Set(texts.flatMap((text) => variablesIn(text)))];
}

/** Settings that look like secrets written out, as dotted paths: they would be in every layer and copy of the image. */
export function literalSecretsOf(deployment: Deployment): readonly string[] {
  return entries(deployment)
    .filter(
      ({ name, value }) =>
        /key|token|secret|passw|credential|authorization|cookie/i.test(name) && variablesIn(value).length === 0,
    )
    .filter(({ value }) => value !== '')
    .map(({ setting, name }) => `${setting}.${name}`);
}

function entries({ server, logs }: Deployment): readonly { setting: string; name: string; value: string }[] {
  const texts = [
    ...Object.entries(server.upstreams).map(([name, upstream]) =>
      'url' in upstream
        ? { setting: `server.upstreams.${name}.headers`, values: upstream.headers }
        : { setting: `server.upstreams.${name}.env`, values: upstream.env },
    ),
    ...Object.entries(server.tools).flatMap(([name, tool]) => {
      if ('http' in tool) return [{ setting: `server.tools.${name}.http.headers`, values: tool.http.headers }];
      return 'command' in tool ? [{ setting: `server.tools.${name}.command.env`, values: tool.command.env }] : [];
    }),
    ...(logs.traces === 'off' ? [] : [{ setting: 'logs.traces.headers', values: logs.traces.headers }]),
  ];
  return texts.flatMap(({ setting, values }) =>
    Object.entries(values).map(([name, value]) => ({ setting, name, value })),
  );
}
