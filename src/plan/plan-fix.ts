import { basename, dirname } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import { describeDrift } from './describe-drift.ts';
import type { HostFacts } from './facts.ts';
import { planDeployment } from './plan-deployment.ts';
import type { RenderedHost } from './system-facts.ts';
import type { Owner } from './action.ts';
import type { Plan, Step } from './types.ts';

/** A file or folder of this deployment that others may read or write, where it really lies. */
export interface OpenFile {
  readonly path: string;
  readonly mode: number;
  /** Whose it has to be, on a host. */
  readonly owner?: Owner;
}

export interface FixPlan {
  /** Without steps when nothing can be mended safely. */
  readonly plan: Plan;
  /** What an apply would do beside, and nobody should do unasked. */
  readonly unsafe: readonly string[];
}

/**
 * What brings a deployment back to what was applied, without a change that its users would feel: missing or edited files of
 * ours are written again, its own stopped server is started, a certificate of its own CA is renewed, modes are closed. A
 * new key, a new CA or a certificate from outside is left to a person.
 */
export function planFix(
  parts: {
    readonly deployment: Deployment;
    readonly open: readonly OpenFile[];
    readonly host?: RenderedHost;
    /** Timers of ours whose files are as they were written, and that do not run. */
    readonly timers?: readonly string[];
  },
  facts: HostFacts,
): FixPlan {
  const { deployment, open, host, timers = [] } = parts;
  const applied = planDeployment({ deployment, deploymentText: null, ...(host === undefined ? {} : { host }) }, facts);
  const unsafe = applied.steps.filter((step) => !isSafe(step)).map(({ title, why }) => `${title} (${why})`);
  // Steps lean on each other: one that is left out would leave the others hanging.
  const rest =
    unsafe.length === 0 && (applied.steps.length === 0 || isBroken(facts) || !startsAtBoot(host, facts))
      ? applied.steps
      : [];
  const steps = [...open.map(closeStep), ...timers.map(timerStep), ...rest];
  const release = facts.release?.release ?? 0;
  return { plan: { ...applied, steps, release: steps.length === 0 ? release : release + 1 }, unsafe };
}

/** Nobody is told of a new key, clients stop trusting a new CA, and an authority counts what it is asked. */
function isSafe({ group, action }: Step): boolean {
  return group !== 'keys' && action.type !== 'issue-private-ca' && action.type !== 'issue-acme-certificate';
}

/** A newer mcp-deploy would write some files otherwise; that is no fault that has to be mended. */
function isBroken(facts: HostFacts): boolean {
  const { serverCertificate } = facts;
  return (
    facts.server.state !== 'running' ||
    describeDrift(facts).some(({ state }) => state !== 'as written') ||
    serverCertificate === null ||
    !serverCertificate.keyMatches ||
    serverCertificate.daysLeft < 30
  );
}

/** On a host: whether each unit of ours is enabled. */
function startsAtBoot(host: RenderedHost | undefined, { system }: HostFacts): boolean {
  const units = (host?.files ?? []).flatMap(({ program, path }) => (program === 'systemd' ? [basename(path)] : []));
  return system?.enabledUnits === undefined || units.every((unit) => system.enabledUnits?.includes(unit) === true);
}

function timerStep(unit: string): Step {
  const units = [{ unit, at: 'start', enabled: true }] as const;
  return {
    id: `start-${unit.replaceAll('.', '-')}`,
    title: `start ${unit}`,
    why: 'it does not run',
    group: 'configuration',
    action: { type: 'service', units },
    undo: { type: 'restore-units', units },
  };
}

function closeStep({ path, mode, owner }: OpenFile, index: number): Step {
  return {
    id: `mode-${index + 1}`,
    title: `close ${path.slice(dirname(path).length + 1)} to others`,
    why: `it should be ${mode.toString(8).padStart(4, '0')}${owner === undefined ? '' : ` ${owner.user}:${owner.group}`}`,
    group: 'keys',
    action: { type: 'set-mode', path, mode, ...(owner === undefined ? {} : { owner }) },
    undo: { type: 'restore' },
  };
}
