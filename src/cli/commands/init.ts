import { relative, resolve } from 'node:path';
import { EnvironmentError, ExplainedError, UserError } from '../../deployment/errors.ts';
import { hideSecretArguments, secretsInArguments } from '../../deployment/secrets-in-arguments.ts';
import type { CommandContext } from '../context.ts';
import { readDeployment } from '../deployment-folder.ts';
import { textFlag } from '../flag-values.ts';
import { quoteCommand } from '../quote-command.ts';
import { createOutput } from '../output/output.ts';
import { wrapLines, wrapText } from '../output/wrap-text.ts';
import { applyPreview, describeWritten, nextLines, writePreview, type Done } from '../wizard/act.ts';
import type { Answers } from '../wizard/answers.ts';
import type { Asker } from '../wizard/asker.ts';
import { answersOf, type ExistingDeployment } from '../wizard/deployment-text.ts';
import type { WizardFacts } from '../wizard/facts.ts';
import { findServers } from '../wizard/find-servers.ts';
import { previewAnswers, renderFolder, type Preview } from '../wizard/preview.ts';
import { profileOf, profiles } from '../wizard/profiles.ts';
import { settleAnswers } from '../wizard/propose.ts';
import { readWizardFacts } from '../wizard/read-facts.ts';
import { readGiven, type Given } from '../wizard/read-given.ts';
import { answersFileData, answersFileText, equivalentCommand, type Decided } from '../wizard/same-again.ts';

/**
 * `mcp-deploy init`: asks first, acts last. Shows the plan, offers to apply, and ends with the command that gives the same
 * without a question. Without a terminal flags, the answers file and defaults are taken; what is missing is named.
 */
export async function runInit(given: CommandContext, options: Record<string, unknown>): Promise<number> {
  if (options['listProfiles'] === true) return listProfiles(given);
  const plain = isPlain(given, options);
  const context = plain ? plainly(given) : given;
  const known = await readGiven(context, options);
  const answersFile = textFlag(options, 'writeAnswers');
  await refuseForeignFile(context, answersFile);
  const loaded = await readDeployment(context);
  const facts = await readWizardFacts(context);
  const existing: ExistingDeployment | null =
    loaded === null ? null : { ...loaded, answers: settleAnswers(answersOf(loaded.deployment), null, facts) };
  const folder = renderFolder(context, known.out);
  for (const remark of known.remarks) context.output.progress(`  · ${remark}`);

  const settled = await decide(context, { known, facts, existing, folder, plain });
  if (settled === null) {
    context.output.document({ ok: true, changed: false, applied: false });
    context.output.result('  Nothing was changed.\n\n  Next   mcp-deploy init');
    return 0;
  }
  const { preview, act } = settled;
  const decided: Decided = {
    answers: preview.answers,
    apply: act,
    out: preview.rendered.length > 0 && act ? relative(context.world.cwd, folder) || '.' : null,
  };
  let done: Done;
  try {
    done =
      act && preview.rendered.length === 0
        ? await applyPreview(preview, existing)
        : await writePreview(preview, existing, { rendered: act, force: context.yes || context.interactive });
  } catch (error) {
    // Whoever has answered a dozen questions need not do so again.
    if (context.interactive && error instanceof ExplainedError) sayEquivalent(context, decided);
    throw error;
  }
  if (answersFile !== undefined) {
    const path = resolve(context.world.cwd, answersFile);
    await context.ports.files.writeAtomic(path, answersFileText(decided, path), 0o644);
  }
  tellEnd(context, { preview, decided, done, folder, answersFile: answersFile ?? null });
  return 0;
}

interface Deciding {
  readonly known: Given;
  readonly facts: WizardFacts;
  readonly existing: ExistingDeployment | null;
  readonly folder: string;
  readonly plain: boolean;
}

/** Answers, and whether they are acted upon; null when everything is to stay as it is. */
async function decide(
  context: CommandContext,
  { known, facts, existing, folder, plain }: Deciding,
): Promise<{ readonly preview: Preview; readonly act: boolean } | null> {
  const settle = (answered: object): Answers =>
    settleAnswers({ ...known.answers, ...answered }, existing?.answers ?? null, facts);
  const look = async (answers: Answers): Promise<Preview> => {
    sayRemarks(context, answers, facts);
    const preview = await previewAnswers(context, answers, { existing, folder, facts });
    // Where nobody reads it at once, lines stay whole.
    const view = context.interactive ? wrapLines(preview.view, context.output.columns) : preview.view;
    context.output.progress(`\n${view}\n\n`);
    return preview;
  };
  // The prompts are loaded only where somebody can answer them.
  const { askQuestions, describeKeys, missingAnswers } = await import('../wizard/ask.ts');
  if (!context.interactive) {
    const answers = settle({});
    const [found] = answers.command === null && answers.url === null ? findServers(facts) : [];
    if (found !== undefined) {
      const words = quoteCommand(hideSecretArguments(found.command, '…'));
      context.output.progress(`  · an MCP server was found in ${found.from}; to deploy it, add: -- ${words}`);
    }
    refuseMissing(missingAnswers(answers, facts), answers);
    const preview = await look(answers);
    if (known.apply === true && preview.refusal !== null) throw preview.refusal;
    if (known.apply === true && preview.needsRoot) {
      throw new EnvironmentError('This changes the host, and that is for root.', {
        why: `The profile ${answers.profile} makes a service of this machine. Nothing was changed.`,
        next: `sudo ${equivalentCommand({ answers, apply: true, out: null })}`,
      });
    }
    return { preview, act: known.apply === true };
  }
  const asker: Asker = plain
    ? (await import('../wizard/ask-plainly.ts')).askPlainly(context)
    : (await import('../wizard/ask-on-screen.ts')).askOnScreen(context);
  try {
    context.output.progress(`${describeKeys(context, existing !== null)}\n`);
    const interview = { given: known.answers, facts, candidates: findServers(facts), settle };
    let interviewed = await askQuestions(asker, interview);
    for (;;) {
      let preview: Preview;
      try {
        preview = await look(interviewed.answers);
      } catch (error) {
        // Answers that contradict each other: back to the last one, and nothing is lost.
        if (!(error instanceof UserError) || error.exitCode !== 2) throw error;
        asker.say([error.message, error.why].filter((line) => line !== undefined).join(' '));
        interviewed = await interviewed.again();
        continue;
      }
      const decision = await askWhetherToAct(asker, preview, known.apply);
      if (decision === 'back') interviewed = await interviewed.again();
      else return decision === 'leave' ? null : { preview, act: decision === 'act' };
    }
  } finally {
    asker.close();
  }
}

type Decision = 'act' | 'write' | 'leave' | 'back';

async function askWhetherToAct(asker: Asker, preview: Preview, known: boolean | null): Promise<Decision> {
  const { refusal, needsRoot, rendered } = preview;
  const mayAct = refusal === null && !needsRoot;
  if (known !== null && (mayAct || !known)) return known ? 'act' : 'write';
  const act =
    rendered.length > 0
      ? { value: 'act', title: 'write all files', about: 'mcp-deploy.yaml and the rendered files; nothing is started.' }
      : { value: 'act', title: 'apply now', about: 'Everything above, or nothing: a failure is undone.' };
  const choices = [
    ...(mayAct ? [act] : []),
    {
      value: 'write',
      title: 'only write mcp-deploy.yaml',
      about: 'Look at it, then: mcp-deploy plan, mcp-deploy apply.',
    },
    { value: 'leave', title: 'leave everything as it is', about: 'Nothing is written.' },
  ] as const;
  for (;;) {
    const reply = await asker.ask({ kind: 'choose', message: 'Apply now?', choices, preset: mayAct ? 'act' : 'write' });
    if (reply.kind === 'back') return 'back';
    if (reply.kind === 'answer') return reply.value as Decision;
    asker.say(
      'The plan above is what would be done. Until here nothing was changed; whatever you choose, mcp-deploy.yaml can be edited and applied later.',
    );
  }
}

/** What is worth knowing before the plan. */
function sayRemarks({ output, world }: CommandContext, answers: Answers, facts: WizardFacts): void {
  const say = (text: string): void =>
    output.progress(wrapText(`· ${text}`, { columns: output.columns, indent: 2, hang: 2 }));
  if (facts.portRemark !== null && answers.listen === `localhost:${facts.freePort}`) say(facts.portRemark);
  for (const argument of secretsInArguments(answers.command ?? [])) {
    say(
      `${argument} looks like a secret on a command line, where every user of this machine can read it; better --env NAME`,
    );
  }
  const unset = answers.env.filter((variable) => world.env[variable] === undefined);
  if (unset.length > 0)
    say(`not set here: ${unset.join(', ')}; the server takes it from the environment when it starts`);
  const proxy = /^linux-(nginx|caddy|haproxy)$/.exec(answers.profile)?.[1];
  const holder = facts.httpsHolder;
  if (proxy !== undefined && holder !== null && !holder.startsWith(proxy))
    say(`port 443 is held by ${holder}, and ${proxy} needs it`);
}

function refuseMissing(missing: readonly { key: string; flag: string; message: string }[], answers: Answers): void {
  if (missing.length === 0) return;
  const width = Math.max(...missing.map(({ flag }) => flag.length));
  throw new UserError(
    `The profile ${answers.profile} needs ${missing.length === 1 ? 'an answer' : 'answers'} that nobody can be asked for here.`,
    {
      why: missing
        .map(({ key, flag, message }) => `${flag.padEnd(width)}  or ${key}: in the answers file   ${message}`)
        .join('\n'),
      next: `mcp-deploy init --profile ${answers.profile} ${missing.map(({ flag }) => (flag === '--agree-tos' ? flag : `${flag} …`)).join(' ')}\nor give all answers at once: mcp-deploy init --answers FILE`,
    },
  );
}

/** A file of somebody's is not written over; the same answers again are. */
async function refuseForeignFile(context: CommandContext, file: string | undefined): Promise<void> {
  if (file === undefined || context.yes) return;
  const there = await context.ports.files.stat(resolve(context.world.cwd, file));
  if (there === null) return;
  throw new UserError(`${file} is there already; nothing was changed.`, {
    next: 'Name another file with --write-answers, or replace it with --yes.',
  });
}

function tellEnd(
  context: CommandContext,
  parts: {
    readonly preview: Preview;
    readonly decided: Decided;
    readonly done: Done;
    readonly folder: string;
    readonly answersFile: string | null;
  },
): void {
  const { preview, decided, done, folder, answersFile } = parts;
  const { output, deploymentFile } = context;
  const wroteRendered = decided.apply && preview.rendered.length > 0;
  output.document({
    ok: true,
    ...done.endpoint,
    profile: preview.answers.profile,
    deploymentFile,
    applied: done.applied,
    plan: preview.plan,
    ...(preview.refusal === null ? {} : { refusal: preview.refusal.message }),
    files: wroteRendered ? preview.rendered.map(({ path }) => path) : [],
    answers: answersFileData(decided),
    command: equivalentCommand(decided),
  });
  if (!done.applied) output.result(describeWritten(preview, done, wroteRendered, folder));
  else {
    const steps = profileOf(preview.answers.profile).next(preview.answers, relative(context.world.cwd, folder) || '.');
    if (steps.length > 0) output.result(nextLines(steps));
  }
  sayEquivalent(context, decided);
  const kept =
    answersFile === null
      ? 'To keep the answers in a file for --answers FILE, add --write-answers FILE.'
      : `The answers are in ${answersFile}, for: mcp-deploy init --answers ${answersFile}`;
  output.progress(`\n${wrapText(kept, { columns: output.columns, indent: 2 })}`);
}

function sayEquivalent({ output }: CommandContext, decided: Decided): void {
  output.progress(`\n  The same without questions:\n    ${equivalentCommand(decided)}`);
}

/** Whether the cursor is to stay where it is: asked for, or a terminal that cannot move it. */
function isPlain({ world }: CommandContext, options: Record<string, unknown>): boolean {
  const asked = world.env['ACCESSIBLE'];
  return (
    options['plain'] === true || world.env['TERM'] === 'dumb' || (asked !== undefined && asked !== '' && asked !== '0')
  );
}

/** The same run with lines only: progress is not drawn anew, and nothing is coloured. */
function plainly(context: CommandContext): CommandContext {
  const { stderr } = context.world;
  const lines = Object.create(stderr, { isTTY: { value: false } }) as typeof stderr;
  const world = { ...context.world, stderr: lines, env: { ...context.world.env, NO_COLOR: '1' } };
  return { ...context, world, output: createOutput({ ...world, stderr }, context.output) };
}

function listProfiles({ output }: CommandContext): number {
  const rows = profiles.map(({ id, title, about }) => ({ id, title, about }));
  output.document({ ok: true, profiles: rows });
  const width = Math.max(...rows.map(({ id }) => id.length)) + 2;
  output.result(
    rows
      .map(({ id, title, about }) =>
        wrapText(`${id.padEnd(width)}${title}. ${about}`, { columns: output.columns, indent: 2, hang: width }),
      )
      .join('\n'),
  );
  return 0;
}
