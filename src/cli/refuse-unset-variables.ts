import { UserError } from '../deployment/errors.ts';
import { fillVariables } from '../deployment/fill-variables.ts';
import { deploymentSchema } from '../deployment/schema.ts';
import type { Plan } from '../plan/types.ts';

/**
 * A server that is started gets its variables from this command's environment. One that runs may have them already, and
 * an undo that starts it again here could not give them back: so their absence is refused before anything is stopped.
 *
 * @throws UserError (exit 3) that names every variable that is not set
 */
export function refuseUnsetVariables(plan: Plan, env: NodeJS.ProcessEnv): void {
  if (!plan.steps.some(({ action }) => action.type === 'start-server' || action.type === 'switch-containers')) return;
  const applied = deploymentSchema.safeParse(plan.desired);
  if (!applied.success) return;
  const missing = new Set<string>();
  for (const upstream of Object.values(applied.data.server.upstreams)) {
    const texts = 'env' in upstream ? upstream.env : 'headers' in upstream ? upstream.headers : {};
    for (const text of Object.values(texts)) for (const name of fillVariables(text, env).missing) missing.add(name);
  }
  const names = [...missing];
  const [first] = names;
  if (first === undefined) return;
  throw new UserError(`${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} not set.`, {
    why: 'The MCP server needs it, and a server that is started takes it from this shell. Nothing was changed.',
    next: `export ${first}=…  and run the command again, or give a default in mcp-deploy.yaml: \${${first}:-value}`,
    exitCode: 3,
  });
}
