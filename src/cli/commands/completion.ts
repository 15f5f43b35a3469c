import { UserError } from '../../deployment/errors.ts';
import { clients } from '../../clients/index.ts';
import { catalogue } from '../../doctor/checks/catalogue.ts';
import { categories } from '../../doctor/types.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import { listKeysIn } from '../../server/policy/key-store.ts';
import { targets } from '../../targets/index.ts';
import { completeWords } from '../complete-words.ts';
import { completionScript, shells } from '../completion-script.ts';
import type { CommandContext } from '../context.ts';
import type { CommandFact } from '../describe-program.ts';
import { manualPage } from '../manual-page.ts';

/** `mcp-deploy completion SHELL`. */
export async function runCompletion(context: CommandContext, wanted: string): Promise<number> {
  const shell = shells.find((known) => known === wanted);
  if (shell === undefined) {
    throw new UserError(`${wanted} is not a shell that completion is known for.`, {
      why: `It knows ${shells.join(', ')}.`,
      next: 'mcp-deploy completion bash',
    });
  }
  context.output.document({ ok: true, shell, script: completionScript(shell) });
  context.output.result(completionScript(shell));
  return 0;
}

/** `mcp-deploy complete -- WORDS`: a line for each word that fits, or ":files". Says nothing when it cannot tell. */
export async function runComplete(context: CommandContext, program: CommandFact): Promise<number> {
  const known = {
    clients: clients.map(({ id }) => id),
    targets: targets.map(({ name }) => name),
    codes: catalogue.map(({ code }) => code),
    categories,
    labels: await readLabels(context),
  };
  const found = completeWords(program, context.serverCommand ?? [''], known);
  context.output.document({ ok: true, completions: found === 'files' ? [] : found.words, files: found === 'files' });
  if (found === 'files') context.output.result(':files');
  else if (found.words.length > 0) {
    context.output.result(found.words.map(({ word, description }) => `${word}\t${description}`).join('\n'));
  }
  return 0;
}

/** `mcp-deploy man`: the manual page, in man(7). */
export async function runManual(context: CommandContext, program: CommandFact): Promise<number> {
  const page = manualPage(program, {
    version: context.package.version,
    date: context.ports.clock.now().slice(0, 10),
  });
  context.output.document({ ok: true, page });
  context.output.result(page);
  return 0;
}

/** Labels of keys; none where there is no deployment, or its file is damaged: a completion is no place for errors. */
async function readLabels(context: CommandContext): Promise<readonly string[]> {
  try {
    const bytes = await context.ports.files.read(deploymentPaths(context.stateDir).keyStore);
    if (bytes === null) return [];
    const keys = listKeysIn(bytes.toString('utf8'), context.ports.clock.now());
    return [...new Set(keys.filter(({ state }) => state !== 'revoked').map(({ label }) => label))];
  } catch {
    return [];
  }
}
