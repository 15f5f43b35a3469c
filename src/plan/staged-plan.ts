import { basename, dirname } from 'node:path';
import { deploymentSchema } from '../deployment/schema.ts';
import type { HostFacts } from './facts.ts';
import { ownerFilesOf, ownerFileSteps } from './staged-owners.ts';
import type { Action } from './action.ts';
import type { Plan, Step } from './types.ts';

/**
 * The same plan for a system that does not run: files, folders, links, keys and certificates as they would be there. What asks or
 * tells a running system is left out; that units start at boot is written as the links that say so.
 */
export function planForStage(plan: Plan, facts: HostFacts): Plan {
  const written = plan.steps.filter(({ action }) => writing.has(action.type));
  const user = deploymentSchema.safeParse(plan.desired).data?.service.user;
  const steps = [
    ...written.flatMap((step) => withBootLinks(step, facts)),
    ...(plan.purpose === 'apply' && user !== undefined && written.length > 0
      ? ownerFileSteps(written, user, facts)
      : []),
  ];
  const { users, owners } = ownerFilesOf(basename(facts.stateDir));
  return {
    ...plan,
    steps: steps.length === 0 && plan.steps.length > 0 && plan.purpose === 'uninstall' ? [nothingStep] : steps,
    release: steps.length === 0 ? (facts.release?.release ?? 0) : plan.release,
    notices: [
      ...plan.notices.filter(({ text }) => !text.startsWith('The endpoint is not called')),
      ...(plan.purpose !== 'apply' || steps.length === 0
        ? []
        : [
            { level: 'info', text: 'Staged: no program is run, no service is started, no account is made.' } as const,
            {
              level: 'info',
              text: `Whose files are on the system is in ${owners}; its account in ${users}: systemd reads both at boot.`,
            } as const,
            {
              level: 'warning',
              text: 'Keys and certificates lie below it too: whoever gets a copy has them.',
            } as const,
          ]),
    ],
  };
}

/** Everything else runs something, or asks something that runs. */
const writing: ReadonlySet<Action['type']> = new Set([
  'make-directory',
  'write-file',
  'remove-file',
  'remove-directory',
  'copy-file',
  'link',
  'issue-private-ca',
  'issue-certificate',
  'move-pair',
  'create-acme-account-key',
  'create-api-key',
  'adopt',
]);

/** What systemctl enable and disable would do. */
function withBootLinks(step: Step, facts: HostFacts): readonly Step[] {
  const { action } = step;
  if (action.type === 'write-file' && isUnit(action.path) && facts.files[action.path] === undefined) {
    return [step, ...targetsOf(action.content).flatMap((target) => linkSteps(action.path, target, facts))];
  }
  if (action.type === 'remove-file' && isUnit(action.path)) {
    const targets = targetsOf(facts.files[action.path]?.text ?? '');
    return [...targets.map((target) => removeStep(linkOf(action.path, target))), step];
  }
  return [step];
}

function isUnit(path: string): boolean {
  return /^\/etc\/systemd\/system\/[^/]+\.(?:service|socket|timer)$/.test(path);
}

function targetsOf(content: string): readonly string[] {
  return [...content.matchAll(/^WantedBy=(.+)$/gm)].flatMap(([, names = '']) => names.trim().split(/\s+/));
}

function linkOf(unitFile: string, target: string): string {
  return `${dirname(unitFile)}/${target}.wants/${basename(unitFile)}`;
}

function linkSteps(unitFile: string, target: string, facts: HostFacts): readonly Step[] {
  const path = linkOf(unitFile, target);
  const common = { why: 'it starts at boot', group: 'configuration', undo: { type: 'restore' } } as const;
  const folder = dirname(path);
  const exists = facts.directories?.includes(folder) === true;
  return [
    ...(exists
      ? []
      : [
          {
            ...common,
            id: `wants-${target.replaceAll('.', '-')}`,
            title: `make ${folder}`,
            action: { type: 'make-directory', path: folder, mode: 0o755 },
          } as const,
        ]),
    {
      ...common,
      id: `enable-${basename(unitFile).replaceAll('.', '-')}`,
      title: `enable ${basename(unitFile)}`,
      action: { type: 'link', path, target: unitFile },
    },
  ];
}

function removeStep(path: string): Step {
  return {
    id: `disable-${basename(path).replaceAll('.', '-')}`,
    title: `remove ${path}`,
    why: 'made by mcp-deploy',
    group: 'removal',
    action: { type: 'remove-file', path },
    undo: { type: 'restore' },
  };
}

/** A plan without steps would not be carried out, and its folders would not go. */
const nothingStep: Step = {
  id: 'staged',
  title: 'nothing to do in a system that does not run',
  why: 'staged',
  group: 'removal',
  action: { type: 'adopt', paths: [] },
  undo: { type: 'none' },
};
