import { join, resolve } from 'node:path';
import { directoryUrlOf, type AcmeTls } from '../deployment/acme-schema.ts';
import { deploymentSchema } from '../deployment/schema.ts';
import { distinct, sameNames } from './certificate-names.ts';
import type { HostFacts } from './facts.ts';
import { judgeRenewal } from './judge-renewal.ts';
import { folderStep } from './plan-service.ts';
import { deploymentPaths } from './deployment-paths.ts';
import { nextPair } from './served-pair.ts';
import type { AcmeOrder } from './acme-order.ts';
import type { Step } from './types.ts';

/** The certificate of `tls: {source: acme}`, asked for when there is none or it does not serve any more. */
export function acmeSteps(tls: AcmeTls, facts: HostFacts): readonly Step[] {
  const reason = whyAskAnew(tls, facts);
  return reason === null ? [] : acmeIssueSteps(tls, facts, reason);
}

/** The steps that ask for a certificate, whether or not one is there. The key of the account outlives a failure. */
export function acmeIssueSteps(tls: AcmeTls, facts: HostFacts, why: string): readonly Step[] {
  const paths = deploymentPaths(facts.stateDir);
  const accountKeyFile = accountKeyFileOf(tls, facts.stateDir);
  const pair = nextPair(facts);
  const account: readonly Step[] =
    facts.files[accountKeyFile] === undefined
      ? [
          ...folderStep(facts, { id: 'acme-folder', path: join(facts.stateDir, 'acme'), group: 'certificate' }).map(
            (step): Step => ({ ...step, undo: { type: 'none' } }),
          ),
          {
            id: 'acme-account-key',
            title: `make account key for ${new URL(directoryUrlOf(tls.directory)).host}`,
            why: 'none yet',
            group: 'certificate',
            action: { type: 'create-acme-account-key', keyFile: accountKeyFile },
            // Authorities limit how many accounts one address may make: the next try uses this one.
            undo: { type: 'none' },
          },
        ]
      : [];
  return [
    ...account,
    ...folderStep(facts, { id: 'pki-folder', path: paths.pkiDir, group: 'certificate' }),
    ...pair.steps,
    {
      id: 'server-certificate',
      title: `ask for a certificate for ${tls.names.join(', ')}`,
      why,
      group: 'certificate',
      action: {
        type: 'issue-acme-certificate',
        order: acmeOrderOf(tls, facts.baseDir),
        accountKeyFile,
        ...pair.place,
        reuseKey: tls.reuseKey && facts.serverCertificate?.keyMatches === true,
      },
      undo: { type: 'restore' },
    },
  ];
}

/** Settings as an order: paths absolute, defaults chosen. Secrets stay in their files. */
export function acmeOrderOf(tls: AcmeTls, baseDir: string): AcmeOrder {
  const file = (path: string | undefined): string | null => (path === undefined ? null : resolve(baseDir, path));
  return {
    directoryUrl: directoryUrlOf(tls.directory),
    caFile: file(tls.caFile),
    names: distinct(tls.names),
    agreeTos: tls.agreeTos,
    email: tls.email ?? null,
    eab: tls.eab === undefined ? null : { keyId: tls.eab.keyId, keyFile: resolve(baseDir, tls.eab.keyFile) },
    profile: tls.profile ?? null,
    challenge: challengeOf(tls, baseDir),
    timeoutMs: Math.round(tls.timeoutSeconds * 1_000),
  };
}

function challengeOf(tls: AcmeTls, baseDir: string): AcmeOrder['challenge'] {
  switch (tls.challenge) {
    case 'http-01':
      if (tls.webroot !== undefined) return { type: 'http-01', webroot: resolve(baseDir, tls.webroot) };
      return { type: 'http-01', listen: tls.listen ?? ':80' };
    case 'tls-alpn-01':
      return { type: 'tls-alpn-01', listen: tls.listen ?? ':443' };
    case 'dns-01':
      return {
        type: 'dns-01',
        hook: tls.dnsHook ?? [],
        cwd: baseDir,
        dnsServers: tls.dnsServers,
        propagationMs: Math.round(tls.propagationSeconds * 1_000),
      };
  }
}

/** One account for each authority: `acme/HOST.key` in the state folder. */
function accountKeyFileOf(tls: Pick<AcmeTls, 'directory'>, stateDir: string): string {
  const { host } = new URL(directoryUrlOf(tls.directory));
  return join(stateDir, 'acme', `${host.replaceAll(/[^a-z0-9.-]/g, '_')}.key`);
}

function whyAskAnew(tls: AcmeTls, facts: HostFacts): string | null {
  const now = facts.serverCertificate;
  if (now === null) return 'none yet';
  if (now.issuedByCa) return 'the present one is of the private CA';
  if (!now.keyMatches) return 'its key is missing or belongs to another one';
  if (!sameNames(now.names, tls.names)) return 'names changed';
  const applied = deploymentSchema.safeParse(facts.release?.desired);
  const before = applied.success && applied.data.tls.source === 'acme' ? applied.data.tls : null;
  if (before !== null && directoryUrlOf(before.directory) !== directoryUrlOf(tls.directory)) return 'another authority';
  if (now.notBefore === undefined || facts.now === undefined) return null;
  const { due, reason } = judgeRenewal({ ...now, notBefore: now.notBefore, now: new Date(facts.now) });
  return due ? reason : null;
}
