import { describeRisks } from '../deployment/describe-risks.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { WantedNames } from './certificate-names.ts';
import { describeDrift } from './describe-drift.ts';
import type { HostFacts } from './facts.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { Notice } from './types.ts';

/** What somebody should know who applies this deployment, beside the steps. */
export function planNotices(deployment: Deployment, wanted: WantedNames, facts: HostFacts): readonly Notice[] {
  return [
    ...unfinishedNotices(facts),
    ...driftNotices(facts),
    ...certificateNotices(deployment, facts),
    ...(wanted.leftOut === null ? [] : [hostNameNotice(wanted.leftOut)]),
    ...(deployment.auth.required ? [] : [openNotice]),
    ...describeRisks(deployment).map((text): Notice => ({ level: 'warning', text })),
  ];
}

/** An apply that a crash cut off: the next change undoes it first. */
export function unfinishedNotices({ unfinishedJournal, baseDir }: HostFacts): readonly Notice[] {
  if (unfinishedJournal === null) return [];
  const { file, purpose } = unfinishedJournal;
  const text = `An earlier ${purpose} was cut off (${shown(file, baseDir)}); it is undone before anything else.`;
  return [{ level: 'warning', text }];
}

function driftNotices(facts: HostFacts): readonly Notice[] {
  // The configuration has its own notice, which also says where the edited one went.
  const own = deploymentPaths(facts.stateDir).serverConfig;
  const { cluster: _cluster, ...files } = facts;
  return describeDrift(files)
    .filter(({ path }) => path !== own)
    .flatMap(({ path, state }): readonly Notice[] => {
      if (state === 'as written') return [];
      const release = facts.release?.release ?? 0;
      const text = `${shown(path, facts.baseDir)} was ${state === 'removed' ? 'removed' : 'changed by hand'} since release ${release}.`;
      return [{ level: 'warning', text }];
    });
}

function certificateNotices({ tls }: Deployment, { serverCertificate }: HostFacts): readonly Notice[] {
  if (tls.source !== 'files' || serverCertificate === null || serverCertificate.daysLeft > 30) return [];
  const { daysLeft } = serverCertificate;
  const when = daysLeft < 0 ? 'has expired' : `expires in ${daysLeft} ${daysLeft === 1 ? 'day' : 'days'}`;
  return [{ level: 'warning', text: `Your certificate ${tls.certificate} ${when}; mcp-deploy does not renew it.` }];
}

function hostNameNotice(name: string): Notice {
  return {
    level: 'info',
    text: `The certificate does not name ${name}: this machine got that name after its CA was made. To have it, list it in tls.names; clients then need the new CA.`,
  };
}

const openNotice: Notice = { level: 'info', text: 'Keys are not required: every program on this machine may call.' };

function shown(path: string, baseDir: string): string {
  return path.startsWith(`${baseDir}/`) ? path.slice(baseDir.length + 1) : path;
}
