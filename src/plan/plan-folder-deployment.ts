import { configFileSteps } from './plan-config-file.ts';
import type { WantedNames } from './certificate-names.ts';
import type { Desired } from './desired.ts';
import type { HostFacts } from './facts.ts';
import { adoptSteps } from './managed-file.ts';
import { isPersonal, leavePersonalSteps, personalFileSteps, type PersonalSteps } from './personal-service.ts';
import { planBuild } from './plan-build.ts';
import { deploymentFileSteps } from './plan-deployment-file.ts';
import { firstKeySteps } from './plan-first-key.ts';
import { folderServerSteps } from './plan-folder-server.ts';
import { planNotices } from './plan-notices.ts';
import { personalServerSteps } from './plan-personal-server.ts';
import { unverifiedNotices } from './plan-verification.ts';
import { refuseContainersLeft, refuseOtherManager } from './refuse-other-manager.ts';
import { releasePlan } from './release-plan.ts';
import type { Plan, Step } from './types.ts';

/** A deployment of a folder: a process of ours, or a service of the person who owns it. */
export function planFolderDeployment(
  desired: Desired,
  parts: { readonly config: string; readonly certificates: readonly Step[]; readonly wanted: WantedNames },
  facts: HostFacts,
): Plan {
  const { deployment } = desired;
  const { certificates, config, wanted } = parts;
  refuseOtherManager(deployment, facts);
  refuseContainersLeft(facts);
  const configFile = configFileSteps(config, facts, desired);
  const keys = firstKeySteps(deployment, facts);
  const build = planBuild(
    {
      build: desired.build,
      config,
      configChanges: configFile.steps.length > 0,
      isLinked: isPersonal(deployment),
    },
    facts,
  );
  const changes = { certificatesChange: certificates.length > 0, keyChanges: keys.length > 0, build };
  const personal = isPersonal(deployment) ? personalOf(desired, facts) : null;
  const server =
    personal === null
      ? [
          ...leavePersonalSteps(facts, 'service.manager is none now'),
          ...folderServerSteps(deployment, configFile.sha256, facts, changes),
        ]
      : personalServerSteps(deployment, configFile.sha256, facts, { ...changes, unit: personal.steps.length > 0 });
  const adopted = [...configFile.adopted, ...(personal?.adopted ?? [])];
  return releasePlan(desired, facts, {
    steps: [
      ...deploymentFileSteps(desired, facts),
      ...keys,
      ...certificates,
      ...configFile.steps,
      ...build.steps,
      ...(personal?.steps ?? []),
      ...server,
      ...adoptSteps(adopted),
    ],
    notices: [
      ...planNotices(deployment, wanted, facts),
      ...configFile.notices,
      ...(personal?.notices ?? []),
      ...(server.length > 0 ? unverifiedNotices(deployment, facts, keys.length > 0) : []),
    ],
    adopted,
    live: build.live === undefined ? {} : { build: build.live },
  });
}

function personalOf({ deployment, host, adopt }: Desired, facts: HostFacts): PersonalSteps {
  const file = host?.files[0];
  if (file === undefined) throw new Error('a plan for a service of a person without its rendered file');
  return personalFileSteps(deployment, file.content, facts, { adopt: adopt === true });
}
