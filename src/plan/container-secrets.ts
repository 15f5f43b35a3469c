import { basename, join } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import { mountedSecrets, proxySecrets } from '../targets/docker/mounted-secrets.ts';
import type { AppliedContainers, TargetInput } from '../targets/types.ts';
import { requireContainers } from './container-engine.ts';
import type { ContainerFacts } from './container-facts.ts';
import { folderSteps } from './container-files.ts';
import type { ContainerWishes } from './container-plan.ts';
import type { HostFacts } from './facts.ts';
import type { Step } from './types.ts';

/** As whom containers run whose files belong to root: a number that no account has. Distroless images use it too. */
const nobodyElse = 65_532;

/** Copies of what containers are given, in a numbered folder of their own: those that run go on with theirs. */
export function secretSteps(
  { input, changes }: ContainerWishes,
  target: 'docker' | 'swarm',
  facts: HostFacts,
): { readonly steps: readonly Step[]; readonly applied: Omit<AppliedContainers, 'image' | 'composeMajor'> } {
  const { secretCopies, secretSources, uid, gid } = requireContainers(facts);
  const wanted = secretsOf(input, target);
  // Swarm keeps its own copies, which it makes from these.
  const user = uid === 0 && target === 'docker' ? { uid: nobodyElse, gid: nobodyElse } : { uid, gid };
  const newest = Math.max(0, ...Object.keys(secretCopies).map(Number));
  const copies = secretCopies[newest] ?? {};
  const fits =
    Object.keys(copies).length === wanted.length &&
    wanted.every(({ name, file }) => copies[name] !== undefined && copies[name] === secretSources[file]);
  const number = fits && !changes.keys && !changes.certificate ? newest : newest + 1;
  const applied = { secretsFolder: `./secrets/${number}`, secretsNumber: number, user };
  if (number === newest) return { steps: [], applied };
  const missing = wanted.find(({ file }) => secretSources[file] === undefined && !isMade(file, facts));
  if (missing !== undefined) {
    throw new UserError(`${missing.place} names ${missing.file}, which is not there.`, {
      next: 'Put the file there, or correct mcp-deploy.yaml.',
      exitCode: 3,
    });
  }
  const folder = join(facts.stateDir, target, 'secrets', String(number));
  const why = newest === 0 ? 'none yet' : 'keys or certificate changed';
  return {
    applied,
    steps: [
      ...folderSteps(join(folder, '..'), facts),
      {
        id: `secrets-${number}`,
        title: `make secrets/${number}`,
        why,
        group: 'keys',
        action: { type: 'make-directory', path: folder, mode: 0o700 },
        undo: { type: 'restore' },
      },
      ...wanted.map(({ name, file }): Step => ({
        id: `secret-${name.replaceAll('_', '-')}`,
        title: `copy ${basename(file)} for the containers`,
        why,
        group: 'keys',
        action: { type: 'copy-secret', from: file, path: join(folder, name), mode: 0o600, ...user },
        undo: { type: 'restore' },
      })),
    ],
  };
}

/** Removes the copies of all numbers but one. */
export function oldSecretSteps(folder: string, kept: number, { secretCopies }: ContainerFacts): readonly Step[] {
  return Object.entries(secretCopies)
    .filter(([number]) => Number(number) !== kept)
    .flatMap(([number, copies]) => {
      const path = join(folder, 'secrets', number);
      const common = { why: 'nothing reads them any more', group: 'keys', undo: { type: 'restore' } } as const;
      return [
        ...Object.keys(copies).map((name): Step => ({
          ...common,
          id: `remove-secret-${number}-${name.replaceAll('_', '-')}`,
          title: `remove secrets/${number}/${name}`,
          action: { type: 'remove-file', path: join(path, name) },
        })),
        {
          ...common,
          id: `remove-secrets-${number}`,
          title: `remove secrets/${number}`,
          action: { type: 'remove-directory', path },
        } satisfies Step,
      ];
    });
}

/** Files of the host that containers are given, each once. */
export function secretsOf(input: TargetInput, target: 'docker' | 'swarm') {
  const { container } = input.deployment;
  const forProxy = target === 'swarm' || container.proxy !== 'none' ? proxySecrets(input) : [];
  const all = [...mountedSecrets(input, target), ...forProxy];
  return all.filter(({ name }, index) => all.findIndex((other) => other.name === name) === index);
}

/** Made by a step of this plan, or by an earlier one. */
function isMade(file: string, { stateDir }: HostFacts): boolean {
  return file.startsWith(`${stateDir}/`);
}
