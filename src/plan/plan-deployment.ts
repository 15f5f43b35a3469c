import { wantedCertificateNames } from './certificate-names.ts';
import { scopeOf } from './deployment-paths.ts';
import type { Desired } from './desired.ts';
import type { HostFacts } from './facts.ts';
import { certificateSteps } from './plan-certificates.ts';
import { planContainerDeployment } from './plan-container-deployment.ts';
import { planFolderDeployment } from './plan-folder-deployment.ts';
import { planHostDeployment } from './plan-host-deployment.ts';
import { refuseDowngrade } from './refuse-downgrade.ts';
import { serverConfigText } from './server-config.ts';
import type { Plan } from './types.ts';

/**
 * The steps from what is there to what is wanted, each only when it is needed:
 * a deployment that is up as wanted gives a plan without steps. Pure.
 *
 * @throws EnvironmentError (exit 3) when a wanted port is held by another program, or an edited file cannot be kept aside
 */
export function planDeployment(desired: Desired, facts: HostFacts): Plan {
  const { containers, deployment } = desired;
  if (desired.rollbackOf === undefined && desired.allowDowngrade !== true) refuseDowngrade(facts);
  const wanted = wantedCertificateNames(deployment, facts);
  const { tls } = deployment;
  const userNames =
    tls.source === 'files' ? (facts.serverCertificate?.names ?? []) : tls.source === 'acme' ? tls.names : [];
  const config =
    desired.config ?? serverConfigText(deployment, { ...facts, hostNames: [...wanted.names, ...userNames] });
  // In a cluster TLS ends in front of the pods, with a certificate of the cluster.
  const isInCluster = deployment.service.manager === 'kubernetes';
  const certificates = isInCluster ? [] : certificateSteps(deployment, wanted.names, facts);

  if (scopeOf(facts.stateDir) === 'system') return planHostDeployment(desired, { config, certificates, wanted }, facts);
  if (containers !== undefined) {
    return planContainerDeployment(desired, { input: containers, certificates, wanted }, facts);
  }
  return planFolderDeployment(desired, { config, certificates, wanted }, facts);
}
