import { relative, resolve } from 'node:path';
import { describeCertificate } from '../../pki/describe-certificate.ts';
import { createFetch } from '../../doctor/probes/https-fetch.ts';
import { ExplainedError, UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { readUnfinished } from '../../apply/recover.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import { listKeysIn } from '../../server/policy/key-store.ts';
import type { CommandContext } from '../context.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import { projectPaths } from '../../plan/project-paths.ts';

interface LiveStatus {
  readonly version?: string;
  readonly uptimeSeconds?: number;
  readonly sessions?: number;
  readonly streams?: number;
  readonly upstreams?: readonly { name: string; state: string; reason?: string; restarts?: number }[];
}

/** `mcp-deploy status`: one glance. Exit 0 also when it is stopped: that is an answer, not a failure. */
export async function runStatus(context: CommandContext): Promise<number> {
  const { ports, output, stateDir } = context;
  const paths = projectPaths(stateDir);
  const deployment = await readAppliedDeployment(context);
  const unfinished = await readUnfinished({ ports, stateDir });
  if (deployment === null && unfinished === null) {
    throw new UserError(`There is no deployment in ${context.baseDir}.`, { next: 'mcp-deploy up' });
  }

  const server = await ports.processes.serverState(paths.pidFile);
  const live = deployment !== null && server.state === 'running' ? await readLiveStatus(context, deployment) : null;
  // A damaged file is one line of the answer, never the end of it.
  const certificate = await orDamage(() => readCertificate(context, deployment));
  const keys = await orDamage(() => readKeys(context));
  const working =
    keys instanceof ExplainedError ? [] : keys.filter((key) => key.state === 'active' || key.state === 'rotating');

  output.document({
    ok: true,
    url: deployment === null ? null : endpointUrl(deployment),
    server: server.state === 'running' ? { state: 'running', pid: server.pid, ...live } : { state: 'stopped' },
    certificate: damageOf(certificate) === null ? certificate : null,
    keys: working.map(({ id, label, state }) => ({ id, label, state })),
    unfinished,
    damaged: [damageOf(certificate), damageOf(keys)].filter((damage) => damage !== null),
  });

  const { green, red, yellow } = output.out;
  const lines: string[] = [];
  if (unfinished !== null) {
    lines.push(
      `  ${yellow('!')} an earlier ${unfinished.purpose} was cut off; the next up, apply or uninstall undoes it first`,
    );
  }
  if (deployment !== null) {
    lines.push(
      `  Endpoint      ${endpointUrl(deployment)}`,
      `  Server        ${server.state === 'running' ? `${green('✓')} running, pid ${server.pid}${live?.version === undefined ? '' : `, ${live.version}`}${live?.uptimeSeconds === undefined ? '' : `, up ${duration(live.uptimeSeconds)}`}` : `${red('✗')} stopped`}`,
    );
    if (server.state === 'running' && live === null)
      lines.push(
        deployment.tls.source === 'files'
          ? `                ${yellow('!')} its certificate is not trusted here under the name of this URL: mcp-deploy doctor`
          : `                ${red('✗')} it does not answer: mcp-deploy doctor`,
      );
    for (const upstream of live?.upstreams ?? []) {
      const glyph = upstream.state === 'up' ? green('✓') : red('✗');
      lines.push(
        `  Upstream      ${glyph} ${upstream.name} ${upstream.state}${upstream.reason === undefined ? '' : `: ${upstream.reason}`}${(upstream.restarts ?? 0) > 0 ? `, ${upstream.restarts} restarts` : ''}`,
      );
    }
    if (live?.sessions !== undefined) lines.push(`  Sessions      ${live.sessions} open, ${live.streams ?? 0} streams`);
    if (certificate instanceof ExplainedError) {
      lines.push(`  Certificate   ${red('✗')} ${damageOf(certificate)}   mcp-deploy up`);
    } else if (certificate !== null) {
      const glyph = certificate.daysLeft > 30 ? green('✓') : certificate.daysLeft > 0 ? yellow('!') : red('✗');
      lines.push(`  Certificate   ${glyph} ${certificate.daysLeft} days left, ${certificate.names.join(', ')}`);
    }
    if (keys instanceof ExplainedError) {
      lines.push(`  Keys          ${red('✗')} ${damageOf(keys)}   mcp-deploy up`);
    } else if (deployment.auth.required) {
      lines.push(
        `  Keys          ${working.length > 0 ? green('✓') : red('✗')} ${working.length} working: ${working.map((key) => key.label).join(', ') || 'none'}`,
      );
    } else lines.push(`  Keys          ${yellow('!')} not required: everyone on this machine may call`);
    lines.push(
      `  Files         ${relative(context.world.cwd, stateDir) || stateDir}`,
      '',
      `  Next   ${server.state === 'running' ? 'mcp-deploy doctor' : 'mcp-deploy start'}`,
    );
  }
  output.result(lines.join('\n'));
  return 0;
}

async function readLiveStatus(context: CommandContext, deployment: Deployment): Promise<LiveStatus | null> {
  const paths = projectPaths(context.stateDir);
  // The user's own certificate is its own proof here, when it is self-signed or brings its chain.
  const { tls } = deployment;
  const trusted = tls.source === 'files' ? resolve(context.baseDir, tls.certificate) : paths.caCertificate;
  const ca = tls.source === 'off' ? null : await context.ports.files.read(trusted);
  const key = await context.ports.files.read(paths.firstKey);
  const url = new URL('/status', endpointUrl(deployment));
  try {
    const response = await createFetch({ caPem: ca?.toString('utf8') ?? null, timeoutMs: 2_000 })(url, {
      headers: key === null ? {} : { authorization: `Bearer ${key.toString('utf8').trim()}` },
      signal: context.signal,
    });
    return response.ok ? ((await response.json()) as LiveStatus) : null;
  } catch {
    return null;
  }
}

async function readKeys(context: CommandContext): Promise<ReturnType<typeof listKeysIn>> {
  const bytes = await context.ports.files.read(projectPaths(context.stateDir).keyStore);
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

function damageOf(value: unknown): string | null {
  return value instanceof ExplainedError ? [value.message, value.why].filter(Boolean).join(': ') : null;
}

/** The certificate that the server shows: ours, the user's own, or none. */
async function readCertificate(
  context: CommandContext,
  deployment: Deployment | null,
): Promise<{ daysLeft: number; names: readonly string[]; notAfter: string } | null> {
  if (deployment?.tls.source === 'off') return null;
  const path =
    deployment?.tls.source === 'files'
      ? resolve(context.baseDir, deployment.tls.certificate)
      : projectPaths(context.stateDir).serverCertificate;
  const bytes = await context.ports.files.read(path);
  if (bytes === null) return null;
  const { daysLeft, names, notAfter } = describeCertificate(bytes, new Date(context.ports.clock.now()));
  return { daysLeft, names, notAfter };
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
