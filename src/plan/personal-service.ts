import { basename } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { HostFacts } from './facts.ts';
import { managedFileSteps } from './managed-file.ts';
import type { AdoptedFile, Notice, Step } from './types.ts';
import type { UnitChange, UnitManager } from './units.ts';

/** A service manager of a person, without root: what it would read, and how it is now. */
export interface PersonalFacts {
  readonly manager: UnitManager;
  /** Name of the unit, or label of the job. */
  readonly unit: string;
  readonly file: string;
  /** Whether the manager runs it now. */
  readonly isActive: boolean;
  /** Whether this person's manager can be spoken to from here, and what it said when not. */
  readonly problem: string | null;
  /** Whether it runs also while nobody is logged in; null where that is not a question. */
  readonly lingers: boolean | null;
  /** Folders on the way to the file that are not there, the outermost first. */
  readonly missingFolders: readonly string[];
  /** The programs that are needed and were not found. */
  readonly missing: readonly string[];
}

export interface PersonalSteps {
  readonly steps: readonly Step[];
  readonly notices: readonly Notice[];
  readonly adopted: readonly AdoptedFile[];
}

/** Whether the manager of a deployment is one of a person. */
export function isPersonal({ service }: Pick<Deployment, 'service'>): boolean {
  return service.manager === 'systemd-user' || service.manager === 'launchd';
}

/** The file of the service, checked by its own program, and the start. @throws EnvironmentError (exit 3) where that cannot be */
export function personalFileSteps(
  deployment: Deployment,
  content: string,
  facts: HostFacts,
  options: { readonly adopt: boolean },
): PersonalSteps {
  const personal = requirePersonal(facts);
  refuse(deployment, personal, facts);
  const { steps, notices, adopted } = managedFileSteps(
    {
      id: 'service-file',
      title: `write ${basename(personal.file)}`,
      path: personal.file,
      mode: 0o644,
      content,
      group: 'configuration',
    },
    facts,
    options,
  );
  const check: Step = {
    id: 'check-service-file',
    title: `check ${basename(personal.file)}`,
    why: 'the service manager must understand it',
    group: 'configuration',
    action: { type: 'run-command', argv: checkOf(personal) },
    undo: { type: 'none' },
  };
  return {
    steps: steps.length === 0 ? [] : [...folderSteps(personal), ...steps, check],
    notices: [...notices, ...lingerNotices(personal)],
    adopted,
  };
}

/** One change of the service. */
export function personalServiceStep(facts: HostFacts, at: UnitChange['at'], why: string): Step {
  const { unit, manager } = requirePersonal(facts);
  const enabled = at === 'stop' ? false : at === 'reload' ? null : true;
  const units: readonly UnitChange[] = [{ unit, at, enabled }];
  return {
    id: 'service',
    title: `${at} ${unit}`,
    why,
    group: 'server',
    action: { type: 'service', units, manager },
    undo: { type: 'restore-units', units, manager },
  };
}

/** Takes the service away from its manager: before its file goes, and after. */
export function leavePersonalSteps(facts: HostFacts, why: string): readonly Step[] {
  const { personal, files, release } = facts;
  if (personal === undefined) return [];
  const { unit, file, manager, isActive } = personal;
  const written = release?.files[file];
  const isOurs = written !== undefined && files[file]?.sha256 === written.sha256 && written.insteadOf === undefined;
  if (!isOurs) return [];
  const again: readonly UnitChange[] = [];
  return [
    ...(isActive ? [{ ...personalServiceStep(facts, 'stop', why), group: 'removal' } as const] : []),
    {
      id: 'remove-service-file',
      title: `remove ${file}`,
      why,
      group: 'removal',
      action: { type: 'remove-file', path: file },
      undo: { type: 'restore' },
    },
    {
      id: 'read-units',
      title: `forget ${unit}`,
      why,
      group: 'removal',
      action: { type: 'service', units: again, manager },
      undo: { type: 'restore-units', units: again, manager },
    },
  ];
}

export function requirePersonal({ personal }: HostFacts): PersonalFacts {
  if (personal === undefined) throw new Error('a plan for a service of a person without facts of it');
  return personal;
}

function folderSteps({ missingFolders }: PersonalFacts): readonly Step[] {
  return missingFolders.map((path): Step => ({
    id: `folder-${path.slice(1).replaceAll(/[^a-zA-Z0-9]+/g, '-')}`,
    title: `make ${path}`,
    why: 'the service manager looks there',
    group: 'configuration',
    action: { type: 'make-directory', path, mode: 0o755 },
    undo: { type: 'restore' },
  }));
}

function checkOf({ manager, file }: PersonalFacts): readonly string[] {
  return manager.type === 'launchd' ? ['plutil', '-lint', file] : ['systemd-analyze', '--user', 'verify', file];
}

function refuse(deployment: Deployment, personal: PersonalFacts, facts: HostFacts): void {
  const { manager } = deployment.service;
  if (deployment.proxy.program !== 'none') {
    throw new UserError(`service.manager: ${manager} cannot put ${deployment.proxy.program} in front.`, {
      why: 'A proxy belongs to the machine, and its files to root.',
      next: 'Set service.manager: systemd, or proxy.program: none and: mcp-deploy render proxy',
      exitCode: 3,
    });
  }
  const [missing] = personal.missing;
  if (missing !== undefined) {
    throw new EnvironmentError(`There is no ${missing} on this machine.`, {
      why: `mcp-deploy.yaml asks for it (service.manager: ${manager}).`,
      next: 'Set service.manager: none.',
    });
  }
  if (personal.problem !== null) {
    throw new EnvironmentError('Your service manager does not answer.', {
      why: personal.problem,
      next: 'Log in as this user, not by su or sudo; or let it run without a login: loginctl enable-linger, and export XDG_RUNTIME_DIR=/run/user/$(id -u)',
    });
  }
  if (facts.files[personal.file] !== undefined && facts.release?.files[personal.file] === undefined) {
    const named = facts.files[personal.file]?.text ?? '';
    if (named.includes('mcp-deploy') && !named.includes(facts.stateDir)) {
      throw new EnvironmentError(`${personal.file} is the service of another folder.`, {
        why: `It was made by mcp-deploy for a deployment that is also called ${deployment.name}.`,
        next: 'Give this one another name in mcp-deploy.yaml, or run there: mcp-deploy uninstall',
      });
    }
  }
}

function lingerNotices({ lingers, manager }: PersonalFacts): readonly Notice[] {
  if (manager.type === 'launchd') {
    return [{ level: 'info', text: 'The agent runs while you are logged in.' }];
  }
  if (lingers === true) return [];
  return [
    {
      level: 'info',
      text: 'The service runs while you are logged in. To let it run from boot on: loginctl enable-linger',
    },
  ];
}
