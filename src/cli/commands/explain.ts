import { UserError } from '../../deployment/errors.ts';
import { explainCode } from '../../doctor/explain.ts';
import type { CommandContext } from '../context.ts';

/** `mcp-deploy explain CODE`: what a finding means and why it matters. */
export async function runExplain(context: CommandContext, code: string): Promise<number> {
  const explanation = explainCode(code);
  if (explanation.kind === 'unknown') {
    throw new UserError(`There is no finding ${code}.`, {
      ...(explanation.suggestions.length === 0 ? {} : { why: `Did you mean ${explanation.suggestions.join(' or ')}?` }),
      next:
        explanation.suggestions[0] === undefined
          ? 'mcp-deploy doctor        prints the code with each finding'
          : `mcp-deploy explain ${explanation.suggestions[0]}`,
    });
  }
  context.output.document({ ok: true, ...explanation });
  context.output.result(explanation.text);
  return 0;
}
