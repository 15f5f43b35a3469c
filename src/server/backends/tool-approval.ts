import type { DeclaredTool } from '../../deployment/tool-schema.ts';
import { reasonOf, type Log } from './backend-log.ts';
import type { ToolContext } from './tool-context.ts';
import { ToolRefusal, type RunTool, type ToolArguments } from './tool-runner.ts';

/** Characters of the arguments that a person is shown; nobody reads more. */
const shownCharacters = 2_000;

/**
 * A tool behind the tier that the deployment gives it: `auto` runs, `confirm` asks the client's user before each call,
 * `forbidden` never runs. A client that cannot ask its user, an answer that is not a plain yes, or none in time: the call
 * is refused, and the audit says why.
 */
export function guardTool(
  run: RunTool,
  tier: DeclaredTool['tier'],
  options: { readonly approvalSeconds: number; readonly log: Log },
): RunTool {
  if (tier === 'auto') return run;
  if (tier === 'forbidden') return () => Promise.reject(new ToolRefusal('the operator has forbidden this tool'));
  return async (input, context) => {
    const refusal = await askUser(input, context, options.approvalSeconds);
    const { name: tool, caller } = context;
    if (refusal !== null) {
      options.log.warn('tool.refused', { tool, caller, why: refusal });
      throw new ToolRefusal(refusal);
    }
    options.log.info('tool.approved', { tool, caller });
    return run(input, context);
  };
}

/** Also what a plain call is told, which has nobody to ask: it must say what to do instead. */
const needsPerson =
  'it needs the approval of a person, and this client cannot ask one; ' +
  'call it at the MCP endpoint, from a client that can ask its user (elicitation)';

/** Null when the user said yes, else why not. */
async function askUser(input: ToolArguments, context: ToolContext, withinSeconds: number): Promise<string | null> {
  const offered = context.clientCapabilities['elicitation'] as Readonly<Record<string, unknown>> | null | undefined;
  const takesForms =
    typeof offered === 'object' && offered !== null && (offered['url'] === undefined || 'form' in offered);
  if (!takesForms) return needsPerson;
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), withinSeconds * 1_000);
    timer.unref();
  });
  try {
    const answer = await Promise.race([context.elicit(question(input, context)), timeUp]);
    if (answer === 'late') return `nobody approved it within ${withinSeconds} s`;
    return isYes(answer) ? null : 'the user of the client did not approve it';
  } catch (error) {
    return `nobody could be asked to approve it: ${reasonOf(error)}`;
  } finally {
    clearTimeout(timer);
  }
}

function question(input: ToolArguments, { name }: ToolContext): Readonly<Record<string, unknown>> {
  const given = JSON.stringify(input);
  const shown =
    given.length <= shownCharacters
      ? given
      : `${given.slice(0, shownCharacters)} and ${given.length - shownCharacters} more characters`;
  return {
    message: `Run the tool ${name} with ${shown}?`,
    requestedSchema: {
      type: 'object',
      properties: { approve: { type: 'boolean', title: `Run ${name}`, description: 'Yes runs it once.' } },
      required: ['approve'],
    },
  };
}

function isYes(answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null) return false;
  const { action, content } = answer as { action?: unknown; content?: { approve?: unknown } | null };
  return action === 'accept' && content?.approve === true;
}
