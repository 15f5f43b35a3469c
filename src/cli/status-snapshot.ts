import { resolve } from 'node:path';
import { readUnfinished } from '../apply/recover.ts';
import { ExplainedError, UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { createFetch } from '../doctor/probes/https-fetch.ts';
import { describeCertificate } from '../pki/describe-certificate.ts';
import { endpointUrl } from '../plan/endpoint-url.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { parseBackupTime } from '../server/observe/backup-record.ts';
import { listKeysIn } from '../server/policy/key-store.ts';
import { backupEverySeconds } from '../targets/backup-timer.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import type { CommandContext } from './context.ts';
import { readServerState, type ServerState } from './server-state.ts';
import { parseTraffic, type TrafficSample } from './traffic.ts';

/** A deployment as it is at one moment. */
export interface StatusSnapshot {
  /** Null when an apply was cut off before anything was recorded. */
  readonly deployment: Deployment | null;
  readonly url: string | null;
  readonly server: ServerState;
  /** What the server says about itself; null when it does not answer. */
  readonly live: LiveStatus | null;
  readonly traffic: TrafficSample | null;
  /** A damaged file is one line of the answer, never the end of it. */
  readonly certificate: CertificateStatus | ExplainedError | null;
  readonly keys: readonly KeyStatus[] | ExplainedError;
  readonly audit: { readonly file: string; readonly bytes: number | null } | null;
  /** Null when none was ever made. */
  readonly backup: BackupStatus | null;
  readonly unfinished: Awaited<ReturnType<typeof readUnfinished>>;
}

export interface LiveStatus {
  readonly version?: string;
  readonly uptimeSeconds?: number;
  readonly status?: string;
  readonly sessions?: number;
  readonly streams?: number;
  readonly upstreams?: readonly UpstreamStatus[];
}

export interface UpstreamStatus {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  readonly restarts?: number;
  readonly inFlight?: number;
  /** Circuit breakers that are not closed, by name. */
  readonly breakers?: Readonly<Record<string, { readonly state: string; readonly retryAt?: string }>>;
}

export interface CertificateStatus {
  readonly daysLeft: number;
  readonly names: readonly string[];
  readonly notAfter: string;
}

export interface BackupStatus {
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly ageSeconds: number;
  /** Whether it is older than the timer allows, or than a week where there is no timer. */
  readonly overdue: boolean;
}

export type KeyStatus = ReturnType<typeof listKeysIn>[number];

/** Looks at everything once. @throws UserError when there is no deployment in the folder. */
export async function readStatusSnapshot(context: CommandContext): Promise<StatusSnapshot> {
  const { ports, stateDir } = context;
  const deployment = await readAppliedDeployment(context);
  const unfinished = await readUnfinished({ ports, stateDir });
  if (deployment === null && unfinished === null) {
    throw new UserError(`There is no deployment in ${context.baseDir}.`, { next: 'mcp-deploy up' });
  }
  const server = await readServerState(context, deployment);
  const asked =
    deployment !== null && server.state === 'running'
      ? await readLiveStatus(context, deployment)
      : { live: null, traffic: null };
  return {
    deployment,
    url: deployment === null ? null : endpointUrl(deployment),
    server,
    ...asked,
    certificate: await orDamage(() => readCertificate(context, deployment)),
    keys: await orDamage(() => readKeys(context)),
    audit: await readAudit(context, deployment),
    backup: await readBackupStatus(context, deployment),
    unfinished,
  };
}

async function readAudit(context: CommandContext, deployment: Deployment | null): Promise<StatusSnapshot['audit']> {
  const named = deployment?.logs.audit ?? 'off';
  if (named === 'off') return null;
  const file = resolve(context.baseDir, named);
  const found = await context.ports.files.stat(file).catch(() => null);
  return { file, bytes: found?.size ?? null };
}

/** The last backup that was written whole. */
async function readBackupStatus(
  { ports, stateDir }: CommandContext,
  deployment: Deployment | null,
): Promise<BackupStatus | null> {
  const bytes = await ports.files.read(deploymentPaths(stateDir).backupRecord).catch(() => null);
  const seconds = bytes === null ? null : parseBackupTime(bytes.toString('utf8'));
  if (seconds === null) return null;
  const ageSeconds = Math.max(0, Math.round(Date.parse(ports.clock.now()) / 1_000 - seconds));
  const every = deployment === null ? null : backupEverySeconds(deployment.backup);
  const overdue = ageSeconds > (every === null ? 8 * 86_400 : 2 * every + 3_600);
  return { createdAt: new Date(seconds * 1_000).toISOString(), ageSeconds, overdue };
}

async function readLiveStatus(
  context: CommandContext,
  deployment: Deployment,
): Promise<Pick<StatusSnapshot, 'live' | 'traffic'>> {
  const paths = deploymentPaths(context.stateDir);
  // The user's own certificate is its own proof here, when it is self-signed or brings its chain.
  const { tls } = deployment;
  const trusted = tls.source === 'files' ? resolve(context.baseDir, tls.certificate) : paths.caCertificate;
  const ca = tls.source === 'off' ? null : await context.ports.files.read(trusted);
  const key = await context.ports.files.read(paths.firstKey);
  const http = createFetch({ caPem: ca?.toString('utf8') ?? null, timeoutMs: 2_000 });
  const ask = async (page: string): Promise<Response | null> => {
    try {
      const response = await http(new URL(page, endpointUrl(deployment)), {
        headers: key === null ? {} : { authorization: `Bearer ${key.toString('utf8').trim()}` },
        signal: context.signal,
      });
      return response.ok ? response : null;
    } catch {
      return null;
    }
  };
  try {
    const [status, metrics] = await Promise.all([ask('/status'), ask('/metrics')]);
    const live = status === null ? null : ((await status.json()) as LiveStatus);
    const text = metrics === null ? null : await metrics.text();
    return { live, traffic: text === null ? null : parseTraffic(text, context.ports.clock.elapsed()) };
  } catch {
    return { live: null, traffic: null };
  } finally {
    http.close();
  }
}

async function readKeys(context: CommandContext): Promise<ReturnType<typeof listKeysIn>> {
  const bytes = await context.ports.files.read(deploymentPaths(context.stateDir).keyStore);
  return bytes === null ? [] : listKeysIn(bytes.toString('utf8'), context.ports.clock.now());
}

async function orDamage<T>(read: () => Promise<T>): Promise<T | ExplainedError> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ExplainedError) return error;
    throw error;
  }
}

/** The certificate that the server shows: ours, the user's own, or none. */
async function readCertificate(
  context: CommandContext,
  deployment: Deployment | null,
): Promise<CertificateStatus | null> {
  if (deployment?.tls.source === 'off') return null;
  const path =
    deployment?.tls.source === 'files'
      ? resolve(context.baseDir, deployment.tls.certificate)
      : deploymentPaths(context.stateDir).serverCertificate;
  const bytes = await context.ports.files.read(path);
  if (bytes === null) return null;
  const { daysLeft, names, notAfter } = describeCertificate(bytes, new Date(context.ports.clock.now()));
  return { daysLeft, names, notAfter };
}
