import type { WantedNames } from './certificate-names.ts';
import type { Desired } from './desired.ts';
import type { HostFacts } from './facts.ts';
import { adoptSteps } from './managed-file.ts';
import { needsRoot } from './needs-root.ts';
import { deploymentFileSteps } from './plan-deployment-file.ts';
import { firstKeySteps } from './plan-first-key.ts';
import { planNotices } from './plan-notices.ts';
import { placedFileSteps } from './plan-sent-files.ts';
import { planSystem } from './plan-system.ts';
import { unverifiedNotices, verifySteps } from './plan-verification.ts';
import { requireSystem } from './refuse-host.ts';
import { releasePlan } from './release-plan.ts';
import type { Notice, Plan, Step } from './types.ts';

/** A deployment that is a service of the host, behind a proxy or not. */
export function planHostDeployment(
  desired: Desired,
  parts: { readonly config: string; readonly certificates: readonly Step[]; readonly wanted: WantedNames },
  facts: HostFacts,
): Plan {
  const { deployment, host } = desired;
  if (host === undefined) throw new Error('a plan for a host without its rendered files');
  const { certificates, config } = parts;
  const keys = firstKeySteps(deployment, facts);
  const placed = desired.placed === undefined ? null : placedFileSteps(desired.placed, deployment.service.user, facts);
  const system = planSystem(
    {
      deployment,
      config,
      host,
      build: desired.build ?? requireSystem(facts).build,
      adopt: desired.adopt === true,
      release: (facts.release?.release ?? 0) + 1,
      filesChange: placed !== null && placed.steps.length > 0,
      othersChange: certificates.length > 0,
    },
    facts,
  );
  const serves = system.after.some(({ action }) => action.type === 'service') || certificates.length > 0;
  const verify = serves ? verifySteps(deployment, facts, keys.length > 0) : [];
  const steps = [
    ...deploymentFileSteps(desired, facts),
    ...system.before,
    ...(placed?.steps ?? []),
    ...keys,
    ...certificates,
    ...system.after,
    ...adoptSteps(system.adopted),
    ...verify.map((step) => throughProxy(step, host.proxyUrl)),
  ];
  return releasePlan(desired, facts, {
    steps,
    notices: [
      ...planNotices(deployment, parts.wanted, facts),
      ...system.notices,
      ...(placed?.notices ?? []),
      ...(steps.length > 0 && !requireSystem(facts).isRoot ? [rootNotice(steps, facts)] : []),
      ...(serves ? unverifiedNotices(deployment, facts, keys.length > 0) : []),
    ],
    adopted: system.adopted,
    live: {
      build: system.build,
      ...(placed === null ? {} : { sent: placed.sent }),
      ...(system.started === null ? {} : { started: system.started }),
    },
  });
}

/** Clients come by the proxy, which has just been told and takes its time. */
function throughProxy(step: Step, url: string | null): Step {
  if (url === null || step.action.type !== 'verify-endpoint') return step;
  return { ...step, action: { ...step.action, url, patienceMs: 10_000 } };
}

function rootNotice(steps: readonly Step[], { stateDir }: HostFacts): Notice {
  const count = steps.filter((step) => needsRoot(step, stateDir)).length;
  const text = `${count} of ${steps.length} steps need root (# root): apply looks and plans as you, and does them with sudo, asked for once.`;
  return { level: 'info', text };
}
