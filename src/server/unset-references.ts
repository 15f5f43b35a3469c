import { fillVariables } from '../deployment/fill-variables.ts';
import type { Deployment } from '../deployment/schema.ts';

/**
 * Variables that the start will look for and not find, each with the first setting that needs it: of the settings that
 * the server itself fills. Pure.
 */
export function findUnsetReferences(
  { server, auth, logs, redis }: Deployment,
  env: NodeJS.ProcessEnv,
): ReadonlyMap<string, string> {
  const texts: (readonly [setting: string, text: string])[] = [];
  const add = (setting: string, given: Readonly<Record<string, string>>): void => {
    for (const [name, text] of Object.entries(given)) texts.push([`${setting}.${name}`, text]);
  };
  for (const [name, upstream] of Object.entries(server.upstreams)) {
    if ('url' in upstream) add(`server.upstreams.${name}.headers`, upstream.headers);
    else add(`server.upstreams.${name}.env`, upstream.env);
  }
  for (const [name, tool] of Object.entries(server.tools)) {
    if ('http' in tool) add(`server.tools.${name}.http.headers`, tool.http.headers);
    else if ('command' in tool) add(`server.tools.${name}.command.env`, tool.command.env);
  }
  for (const [index, { secret }] of auth.keys.entries()) texts.push([`auth.keys[${index}].secret`, secret]);
  if (redis !== 'off') texts.push(['redis.url', redis.url]);
  if (logs.traces !== 'off') add('logs.traces.headers', logs.traces.headers);
  const unset = new Map<string, string>();
  for (const [setting, text] of texts) {
    for (const name of fillVariables(text, env).missing) if (!unset.has(name)) unset.set(name, setting);
  }
  return unset;
}
