import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';
import { proxyCheckOf } from '../targets/proxy-reload.ts';
import { wantedCertificateNames } from './certificate-names.ts';
import type { HostFacts } from './facts.ts';
import { judgeRenewal, type RenewalJudgement, type RenewalQuestion } from './judge-renewal.ts';
import { acmeIssueSteps } from './plan-acme.ts';
import { privateCaSteps, readableBy } from './plan-certificates.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { LiveCertificate } from './live-certificate.ts';
import type { Plan, Step } from './types.ts';

export interface RenewalOptions {
  readonly force: boolean;
  readonly window: RenewalQuestion['window'];
  /** A proxy found on this machine; what mcp-deploy.yaml says goes before it. */
  readonly proxy?: FoundProxy | null;
}

/** A proxy that shows the certificate, and where. */
export interface FoundProxy {
  readonly reload: readonly string[];
  /** host:port */
  readonly probe: string;
}

export interface RenewalPlan {
  readonly plan: Plan;
  readonly judgement: RenewalJudgement | null;
}

/** How long a server or proxy may take until it shows a new certificate. */
const serveTimeoutMs = 10_000;

/**
 * The steps that renew the certificate of a deployment, none when it is not due. A certificate of the user's own
 * (`tls.source: files`) is never touched. Pure.
 */
export function planRenewal(deployment: Deployment, facts: HostFacts, options: RenewalOptions): RenewalPlan {
  const { tls } = deployment;
  const judgement = judge(facts, options);
  const reason = options.force
    ? 'asked for'
    : judgement === null || judgement.due
      ? (judgement?.reason ?? 'none yet')
      : null;
  const issue =
    reason === null ? [] : issueSteps(deployment, facts, reason).flatMap((step) => readableBy(step, deployment, facts));
  const steps = issue.length === 0 ? [] : [...issue, serveStep(deployment, facts, options.proxy ?? null)];
  const release = facts.release?.release ?? 0;
  return {
    judgement,
    plan: {
      schemaVersion: 1,
      deployment: deployment.name,
      purpose: 'apply',
      release: steps.length === 0 ? release : release + 1,
      steps,
      notices:
        tls.source === 'files' && judgement?.due === true
          ? [
              {
                level: 'warning',
                text: `Your certificate ${tls.certificate} ${judgement.reason}; renew it where it came from.`,
              },
            ]
          : [],
      desired: JSON.parse(JSON.stringify(deployment)) as unknown,
    },
  };
}

function judge({ serverCertificate, now }: HostFacts, { window }: RenewalOptions): RenewalJudgement | null {
  if (serverCertificate?.notBefore === undefined || now === undefined || !serverCertificate.keyMatches) return null;
  const { notBefore, notAfter, fingerprint256 } = serverCertificate;
  return judgeRenewal({ notBefore, notAfter, fingerprint256, now: new Date(now), window: window ?? null });
}

function issueSteps(deployment: Deployment, facts: HostFacts, why: string): readonly Step[] {
  const { tls } = deployment;
  switch (tls.source) {
    case 'acme':
      return acmeIssueSteps(tls, facts, why);
    case 'private-ca':
      return privateCaSteps(tls, {
        name: deployment.name,
        names: wantedCertificateNames(deployment, facts).names,
        facts,
        why,
      });
    case 'files':
    case 'off':
      return [];
  }
}

function serveStep(deployment: Deployment, facts: HostFacts, proxy: FoundProxy | null): Step {
  const live = liveCertificateOf(deployment, facts, proxy);
  return {
    id: 'serve-certificate',
    title: 'have it served, and prove it',
    why: 'a renewed file helps nobody until it is shown',
    group: 'verified',
    action: { type: 'serve-certificate', live },
    undo: { type: 'serve-certificate', live },
  };
}

/** What serves the certificate, and where that can be seen. */
export function liveCertificateOf(
  { server, tls, proxy }: Deployment,
  { baseDir, stateDir }: Pick<HostFacts, 'baseDir' | 'stateDir'>,
  found: FoundProxy | null = null,
): LiveCertificate {
  const paths = deploymentPaths(stateDir);
  const files =
    tls.source === 'files'
      ? { certificateFile: resolve(baseDir, tls.certificate), keyFile: resolve(baseDir, tls.key) }
      : { certificateFile: paths.serverCertificate, keyFile: paths.serverKey };
  const address = listenAddresses(server).find((each) => each.kind === 'tcp');
  const everywhere = (host: string): string => (host === '' || host === 'localhost' ? '127.0.0.1' : host);
  const probe = /^(.+):(\d+)$/.exec(proxy.probe ?? found?.probe ?? '');
  const reload = proxy.reload ?? found?.reload ?? null;
  const serverName =
    proxy.serverName ?? ('names' in tls ? tls.names?.find((name) => isIP(name) === 0) : undefined) ?? null;
  return {
    ...files,
    pidFile: paths.pidFile,
    sockets: [
      ...(address?.kind === 'tcp'
        ? [{ hop: 'server' as const, host: everywhere(address.host), port: address.port, serverName: null }]
        : []),
      ...(probe === null
        ? []
        : [
            {
              hop: 'proxy' as const,
              host: (probe[1] ?? '').replaceAll(/^\[|\]$/g, ''),
              port: Number(probe[2]),
              serverName,
            },
          ]),
    ],
    proxyReload: reload,
    proxyCheck: reload === null ? null : proxyCheckOf(reload),
    timeoutMs: serveTimeoutMs,
  };
}
