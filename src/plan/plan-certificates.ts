import type { Deployment } from '../deployment/schema.ts';
import { distinct, maySignFor, sameNames } from './certificate-names.ts';
import type { CertificateFact, HostFacts } from './facts.ts';
import { acmeSteps } from './plan-acme.ts';
import { folderStep } from './plan-service.ts';
import { deploymentPaths, scopeOf } from './deployment-paths.ts';
import { nextPair } from './served-pair.ts';
import { hostProxyOf } from './host-proxies.ts';
import type { Owner } from './action.ts';
import type { Step } from './types.ts';

/** A certificate is renewed when a third of its life is left, and a long-lived one 30 days before its end. */
const renewBeforeDays = 30;

/** The private CA and the server certificate, each issued when there is none or it does not serve any more. */
export function certificateSteps(deployment: Deployment, names: readonly string[], facts: HostFacts): readonly Step[] {
  return planCertificates(deployment, names, facts).flatMap((step) => readableBy(step, deployment, facts));
}

/**
 * In system scope the service user reads the pair through its group, and the folders are made with those of the host. A renewal
 * goes through here too.
 */
export function readableBy(
  step: Step,
  deployment: Pick<Deployment, 'service' | 'proxy'>,
  facts: HostFacts,
): readonly Step[] {
  if (scopeOf(facts.stateDir) !== 'system') return [step];
  const { action } = step;
  if (action.type === 'issue-certificate' || action.type === 'issue-acme-certificate') {
    return [{ ...step, action: { ...action, owner: pairOwner(deployment) } }];
  }
  return step.id === 'pki-folder' ? [] : [step];
}

/** A proxy that opens keys as a user of its own owns the pair; the service reads it through its group. */
function pairOwner(deployment: Pick<Deployment, 'service' | 'proxy'>): Owner {
  return { user: hostProxyOf(deployment)?.readsKeysAs ?? 'root', group: deployment.service.user };
}

function planCertificates(deployment: Deployment, names: readonly string[], facts: HostFacts): readonly Step[] {
  const { tls, name } = deployment;
  if (tls.source === 'acme') return acmeSteps(tls, facts);
  if (tls.source !== 'private-ca') return [];
  return privateCaSteps(tls, { name, names, facts, why: null });
}

/** The steps for a certificate of the private CA; with `why` it is issued anew whatever the present one is like. */
export function privateCaSteps(
  tls: Extract<Deployment['tls'], { source: 'private-ca' }>,
  options: {
    readonly name: string;
    readonly names: readonly string[];
    readonly facts: HostFacts;
    readonly why: string | null;
  },
): readonly Step[] {
  const { names, facts, why } = options;
  const paths = deploymentPaths(facts.stateDir);
  const caReason = whyNewCa(names, facts);
  // No client would accept a certificate that outlives its CA.
  const caDays = caReason === null ? (facts.caCertificate?.daysLeft ?? tls.validDays) : tls.validDays;
  const validDays = Math.max(1, Math.min(tls.validDays, caDays));
  const reason = caReason === null ? (why ?? whyNewCertificate(names, validDays, facts)) : 'signed by the new CA';
  if (reason === null) return [];

  const pair = nextPair(facts);
  const certificate: Step = {
    id: 'server-certificate',
    title: 'issue server certificate',
    why: facts.serverCertificate === null ? 'none yet' : reason,
    group: 'certificate',
    action: {
      type: 'issue-certificate',
      caCertificateFile: paths.caCertificate,
      caKeyFile: paths.caKey,
      ...pair.place,
      names,
      validDays,
    },
    undo: { type: 'restore' },
  };
  const folder = folderStep(facts, { id: 'pki-folder', path: paths.pkiDir, group: 'certificate' });
  if (caReason === null) return [...folder, ...pair.steps, certificate];
  const ca: Step = {
    id: 'private-ca',
    title: 'make private CA',
    why: caReason,
    group: 'certificate',
    action: {
      type: 'issue-private-ca',
      certificateFile: paths.caCertificate,
      keyFile: paths.caKey,
      commonName: commonName(options.name, facts.hostName),
      names: distinct(names.map((name) => name.replace(/^\*\./, ''))),
    },
    undo: { type: 'restore' },
  };
  return [...folder, ...pair.steps, ca, certificate];
}

function whyNewCa(names: readonly string[], { caCertificate: ca, files, stateDir }: HostFacts): string | null {
  if (ca === null) {
    return files[deploymentPaths(stateDir).caCertificate] === undefined ? 'none yet' : 'the file is no certificate';
  }
  if (!ca.keyMatches) return 'its key is missing or belongs to another one';
  if (ca.daysLeft <= renewBeforeDays) return endsIn(ca.daysLeft);
  const uncovered = names.filter((name) => !maySignFor(ca, name));
  return uncovered.length === 0 ? null : `the present one may not sign for ${uncovered.join(', ')}`;
}

function whyNewCertificate(names: readonly string[], validDays: number, facts: HostFacts): string | null {
  const now: CertificateFact | null = facts.serverCertificate;
  if (now === null) {
    const { serverCertificate } = deploymentPaths(facts.stateDir);
    return facts.files[serverCertificate] === undefined ? 'none yet' : 'the file is no certificate';
  }
  if (!now.keyMatches) return 'its key is missing or belongs to another one';
  if (!now.issuedByCa) return 'signed by another CA';
  if (!sameNames(now.names, names)) return describeNames(now.names, names);
  // Days are counted in whole ones: a new certificate has one less than its life, and must not be renewed at once.
  const isNew = now.daysLeft >= validDays - 1;
  if (!isNew && now.daysLeft < Math.min(validDays / 3, renewBeforeDays)) return endsIn(now.daysLeft);
  if (now.daysLeft > validDays) return `a life of ${validDays} days is wanted, ${now.daysLeft} are left`;
  return null;
}

function describeNames(now: readonly string[], wanted: readonly string[]): string {
  const added = distinct(wanted).filter((name) => !distinct(now).includes(name));
  const dropped = distinct(now).filter((name) => !distinct(wanted).includes(name));
  return ['names changed:', ...added.map((name) => `+${name}`), ...dropped.map((name) => `-${name}`)].join(' ');
}

function endsIn(daysLeft: number): string {
  if (daysLeft < 0) return 'expired';
  return `expires in ${daysLeft} ${daysLeft === 1 ? 'day' : 'days'}`;
}

/** X.520 bounds a common name to 64 characters. */
function commonName(deployment: string, hostName: string): string {
  return `mcp-deploy ${deployment} CA on ${hostName}`.slice(0, 64).trimEnd();
}
