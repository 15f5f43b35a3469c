import { variablesIn } from '../../deployment/fill-variables.ts';
import type { Deployment } from '../../deployment/schema.ts';

/** Variables of the outside that upstreams refer to, each once: only their `env` and `headers` are ever filled. */
export function variablesOf(deployment: Deployment): readonly string[] {
  return [...new Set(entries(deployment).flatMap(({ value }) => variablesIn(value)))];
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

function entries({ server }: Deployment): readonly { setting: string; name: string; value: string }[] {
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
  ];
  return texts.flatMap(({ setting, values }) =>
    Object.entries(values).map(([name, value]) => ({ setting, name, value })),
  );
}
