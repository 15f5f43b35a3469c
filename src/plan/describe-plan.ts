import { hideSecrets } from '../deployment/hide-secrets.ts';
import type { HostFacts } from './facts.ts';
import { needsRoot } from './needs-root.ts';
import { diffLines } from './line-diff.ts';
import type { Plan, Step } from './types.ts';

export interface PlanSummary {
  readonly change: number;
  readonly add: number;
  readonly remove: number;
  /** Warnings. */
  readonly lookAt: number;
  /** Steps that change no file: stop, start, wait, verify. */
  readonly run: number;
}

/**
 * The plan as a person reads it before saying yes: `+` made, `~` changed with
 * a diff, `-` removed, `!` to look at. Without colour, without secrets, ends without a line break.
 */
export function describePlan(plan: Plan, facts: HostFacts, applyCommand = `mcp-deploy ${plan.purpose}`): string {
  // Who is not root sees which steps are for root.
  const isMarked = facts.system?.isRoot === false;
  const mark = (step: Step): string => (isMarked && needsRoot(step, facts.stateDir) ? '  # root' : '');
  const entries = plan.steps.flatMap((step) =>
    entryOf(step, facts).map((entry) => ({ ...entry, why: `${entry.why}${mark(step)}` })),
  );
  const warnings = plan.notices.filter(({ level }) => level === 'warning');
  const remarks = plan.notices.filter(({ level }) => level === 'info');
  const notices = [...warnings.map(({ text }) => `  ! ${text}`), ...remarks.map(({ text }) => `  · ${text}`)];
  if (plan.steps.length === 0) return [`  Nothing to do${stateInWords(plan, facts)}.`, ...notices].join('\n');

  if (plan.purpose === 'uninstall')
    entries.push({ glyph: '-', path: '.mcp-deploy/', why: 'keys, certificates, logs', diff: [] });
  const width = Math.min(40, Math.max(0, ...entries.map(({ path }) => path.length)));
  const lines = entries.flatMap(({ glyph, path, why, diff }) => [
    `  ${glyph} ${path.padEnd(width)}  ${why}`.trimEnd(),
    ...diff.map((line) => `      ${line}`.trimEnd()),
  ]);
  const run = plan.steps.filter(isRun);
  const then = run.map((step, index) => `  ${index === 0 ? 'then' : '    '}  ${step.title}, ${step.why}${mark(step)}`);
  const body = [...lines, ...notices, ...then];
  return [headline(plan, facts), '', ...body, '', `  ${totals(planSummary(plan, facts), plan, applyCommand)}`].join(
    '\n',
  );
}

/** How much a plan does, by kind. */
export function planSummary(plan: Plan, facts: HostFacts): PlanSummary {
  const glyphs = plan.steps.flatMap((step) => entryOf(step, facts)).map(({ glyph }) => glyph);
  const count = (wanted: Entry['glyph']): number => glyphs.filter((glyph) => glyph === wanted).length;
  return {
    change: count('~'),
    add: count('+'),
    remove: count('-') + (plan.purpose === 'uninstall' && plan.steps.length > 0 ? 1 : 0),
    lookAt: plan.notices.filter(({ level }) => level === 'warning').length,
    run: plan.steps.filter(isRun).length,
  };
}

interface Entry {
  readonly glyph: '+' | '~' | '-';
  readonly path: string;
  readonly why: string;
  readonly diff: readonly string[];
}

function entryOf(step: Step, facts: HostFacts): readonly Entry[] {
  const { action, why } = step;
  const entry = (path: string, rest: Partial<Entry> = {}): Entry => ({
    glyph: existing(path, facts) ? '~' : '+',
    path: shown(path, facts),
    why,
    diff: [],
    ...rest,
  });
  switch (action.type) {
    case 'write-file':
      return [entry(action.path, { diff: diffOf(action.path, action.content, facts) })];
    case 'make-directory':
      // Of the folders in .mcp-deploy only what lies in them is worth a line.
      if (action.path.startsWith(`${facts.stateDir}/`)) return [];
      return [entry(action.path, { path: `${shown(action.path, facts)}/` })];
    case 'set-mode':
      return [entry(action.path, { glyph: '~' })];
    case 'remove-file':
      return [entry(action.path, { glyph: '-' })];
    case 'remove-directory':
      return [entry(action.path, { glyph: '-', path: `${shown(action.path, facts)}/` })];
    case 'issue-private-ca':
      return [entry(action.certificateFile, { why: `private CA, ${why}` })];
    case 'issue-certificate':
      return [
        entry(action.certificateFile, {
          why: `${why}; ${action.validDays} days, for ${action.names.join(', ')}`,
        }),
      ];
    case 'issue-acme-certificate':
      return [
        entry(action.certificateFile, {
          why: `${why}; from ${new URL(action.order.directoryUrl).host} by ${action.order.challenge.type}, for ${action.order.names.join(', ')}`,
        }),
      ];
    case 'create-acme-account-key':
      return [entry(action.keyFile, { why: 'key of the account with the authority' })];
    case 'create-api-key':
      return [entry(action.keyFile, { why: `API key "${action.label}", ${why}` })];
    case 'ensure-user':
      return [entry(action.user, { glyph: '+', path: `user ${action.user}` })];
    case 'remove-user':
      return [entry(action.user, { glyph: '-', path: `user ${action.user}` })];
    case 'copy-file':
      // Kept by its content for a rollback; where it belongs has a line of its own.
      if (action.path.startsWith(`${facts.stateDir}/sent/`)) return [];
      return [entry(action.path)];
    case 'copy-secret':
      return [entry(action.path)];
    case 'link':
      return [entry(action.path, { why: `-> ${action.target}, ${why}` })];
    case 'move-pair':
    case 'start-server':
    case 'stop-server':
    case 'replace-server':
    case 'wait-until-ready':
    case 'wait-until-free':
    case 'verify-endpoint':
    case 'serve-certificate':
    case 'run-command':
    case 'trial-server':
    case 'service':
    case 'make-image':
    case 'switch-containers':
    case 'remove-stopped':
    case 'deploy-stack':
    case 'prune-stack':
    case 'remove-stack':
    case 'containers':
    case 'make-namespace':
    case 'remove-namespace':
    case 'hand-secret':
    case 'roll-out':
    case 'leave-replicas':
    case 'remove-objects':
    case 'adopt':
      return [];
  }
}

function isRun({ action }: Step): boolean {
  return [
    'start-server',
    'stop-server',
    'replace-server',
    'wait-until-ready',
    'wait-until-free',
    'verify-endpoint',
    'serve-certificate',
    'run-command',
    'trial-server',
    'service',
    'make-image',
    'switch-containers',
    'remove-stopped',
    'deploy-stack',
    'prune-stack',
    'remove-stack',
    'containers',
    'make-namespace',
    'remove-namespace',
    'hand-secret',
    'roll-out',
    'leave-replicas',
    'remove-objects',
    'adopt',
  ].includes(action.type);
}

/** Enough to see what a change is about; the file itself is one command away. */
const mostDiffLines = 24;

function diffOf(path: string, content: string, facts: HostFacts): readonly string[] {
  const before = path === facts.deploymentFile.path ? facts.deploymentFile.text : facts.files[path]?.text;
  if (before === undefined || before === null) return [];
  if (path.endsWith('/serve.js')) return ['(another build of the server)'];
  const [from, to] = [hideSecrets(before), hideSecrets(content)];
  if (from === null || to === null) return ['(not shown: the present file is not valid YAML)'];
  if (from === to) return ['(a value that is not shown)'];
  const changed = diffLines(from, to).filter(({ kind }) => kind !== 'same');
  const lines = changed.map(({ kind, text }) => `${kind === 'added' ? '+' : '-'} ${text}`);
  if (lines.length <= mostDiffLines) return lines;
  return [...lines.slice(0, mostDiffLines), `… ${lines.length - mostDiffLines} more lines`];
}

function headline(plan: Plan, facts: HostFacts): string {
  if (plan.purpose !== 'apply') return `  ${plan.purpose} ${plan.deployment}, host ${facts.hostName}`;
  const number = facts.release === null ? 'first release' : `release ${facts.release.release} -> ${plan.release}`;
  const from = plan.rollbackOf === undefined ? number : `${number}, back to ${plan.rollbackOf}`;
  return `  ${plan.deployment}, ${from}, host ${facts.hostName}`;
}

function totals({ change, add, remove, lookAt }: PlanSummary, plan: Plan, applyCommand: string): string {
  const parts = [`${change} to change`, `${add} to add`, `${remove} to remove`];
  // A plan that only restarts changes no file, and is not nothing.
  if (change + add + remove === 0) parts.splice(0, 3, serverInWords(plan));
  if (lookAt > 0) parts.push(`${lookAt} to look at`);
  return `${capital(parts.join(', '))}. ${plan.purpose === 'apply' ? 'Apply' : 'Do it'} with: ${applyCommand}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function serverInWords({ steps }: Plan): string {
  const has = (type: Step['action']['type']): boolean => steps.some(({ action }) => action.type === type);
  if (has('start-server')) return `no file changes, the server is ${has('stop-server') ? 'restarted' : 'started'}`;
  return has('stop-server') ? 'no file changes, the server is stopped' : 'no file changes';
}

function stateInWords(plan: Plan, facts: HostFacts): string {
  const { server } = facts;
  if (plan.purpose === 'uninstall') return ': nothing of mcp-deploy is here';
  if (plan.purpose === 'apply') {
    const running = server.state === 'running' ? `, and the server is running (pid ${server.pid})` : '';
    return `: everything is as mcp-deploy.yaml says${running}`;
  }
  return '';
}

function existing(path: string, { files, deploymentFile }: HostFacts): boolean {
  return files[path] !== undefined || (path === deploymentFile.path && deploymentFile.text !== null);
}

function shown(path: string, { baseDir }: HostFacts): string {
  return path.startsWith(`${baseDir}/`) ? path.slice(baseDir.length + 1) : path;
}
