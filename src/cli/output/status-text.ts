import type { ChalkInstance } from 'chalk';
import { ExplainedError } from '../../deployment/errors.ts';
import type { StatusSnapshot, UpstreamStatus } from '../status-snapshot.ts';
import type { Traffic } from '../traffic.ts';

/** One glance: a line for each thing, the glyph says whether it is well; the next command last. */
export function describeStatus(
  now: StatusSnapshot,
  traffic: Traffic | null,
  show: { readonly style: ChalkInstance; readonly path: (path: string) => string; readonly stateDir: string },
): string[] {
  const { green, red, yellow } = show.style;
  const { deployment, server, live, certificate, keys, audit, unfinished } = now;
  const lines: string[] = [];
  const add = (title: string, text: string): void => void lines.push(`  ${title.padEnd(14)}${text}`);
  if (unfinished !== null) {
    lines.push(
      `  ${yellow('!')} an earlier ${unfinished.purpose} was cut off; the next up, apply or uninstall undoes it first`,
    );
  }
  if (deployment === null) return lines;

  add('Endpoint', now.url ?? '');
  add('Server', server.state === 'running' ? `${green('✓')} ${runningWords(now)}` : `${red('✗')} stopped`);
  if (server.state === 'running' && live === null) {
    add(
      '',
      deployment.tls.source === 'files'
        ? `${yellow('!')} its certificate is not trusted here under the name of this URL: mcp-deploy doctor`
        : `${red('✗')} it does not answer: mcp-deploy doctor`,
    );
  }
  for (const upstream of live?.upstreams ?? []) add('Upstream', upstreamWords(upstream, show.style));
  if (live?.sessions !== undefined) add('Sessions', `${live.sessions} open, ${live.streams ?? 0} streams`);
  if (traffic !== null) {
    const glyph = traffic.errors === 0 ? green('✓') : yellow('!');
    add('Calls', `${glyph} ${trafficWords(traffic)}`);
  }
  if (certificate instanceof ExplainedError) add('Certificate', `${red('✗')} ${damageOf(certificate)}   mcp-deploy up`);
  else if (certificate !== null) {
    const glyph = certificate.daysLeft > 30 ? green('✓') : certificate.daysLeft > 0 ? yellow('!') : red('✗');
    add('Certificate', `${glyph} ${certificate.daysLeft} days left, ${certificate.names.join(', ')}`);
  }
  for (const line of keyLines(now, show.style)) add('Keys', line);
  if (keys instanceof ExplainedError) add('Keys', `${red('✗')} ${damageOf(keys)}   mcp-deploy up`);
  if (audit !== null) {
    add(
      'Audit',
      audit.bytes === null
        ? `${yellow('!')} ${show.path(audit.file)} is not there yet`
        : `${green('✓')} ${show.path(audit.file)}, ${size(audit.bytes)}`,
    );
  }
  add('Backup', backupWords(now, show.style));
  add('Files', show.path(show.stateDir));
  lines.push('', `  Next   ${nextCommand(now)}`);
  return lines;
}

function backupWords({ backup }: StatusSnapshot, { green, yellow }: ChalkInstance): string {
  if (backup === null) return `${yellow('!')} none yet: mcp-deploy backup create`;
  const age = `${duration(backup.ageSeconds)} old, ${backup.createdAt.slice(0, 16).replace('T', ' ')} UTC`;
  return backup.overdue ? `${yellow('!')} ${age}: mcp-deploy backup create` : `${green('✓')} ${age}`;
}

/** The same in one line, for a log or a terminal that cannot be redrawn. */
export function describeStatusLine(now: StatusSnapshot, traffic: Traffic | null, time: string): string {
  const { server, live } = now;
  if (server.state === 'stopped') return `${time}  stopped`;
  if (live === null) return `${time}  running, does not answer`;
  const down = (live.upstreams ?? [])
    .filter(({ state }) => state !== 'up')
    .map(({ name, state }) => `${name} ${state}`);
  const words = [
    live.status ?? 'running',
    `${live.sessions ?? 0} sessions`,
    ...(traffic === null ? [] : [trafficWords(traffic)]),
    ...down,
  ];
  return `${time}  ${words.join(', ')}`;
}

/** What is wrong with a file, in one line; null for what is no damage. */
export function damageOf(value: unknown): string | null {
  return value instanceof ExplainedError ? [value.message, value.why].filter(Boolean).join(': ') : null;
}

function runningWords({ live, server }: StatusSnapshot): string {
  const { version, uptimeSeconds, status } = live ?? {};
  return [
    'running',
    server.state === 'running' && server.pid === null
      ? server.words
      : `pid ${server.state === 'running' ? server.pid : 0}`,
    ...(version === undefined ? [] : [version]),
    ...(uptimeSeconds === undefined ? [] : [`up ${duration(uptimeSeconds)}`]),
    ...(status === undefined || status === 'ready' ? [] : [status]),
  ].join(', ');
}

function upstreamWords(upstream: UpstreamStatus, { green, red, yellow }: ChalkInstance): string {
  const { name, state, reason, restarts = 0, inFlight = 0, breakers = {} } = upstream;
  const held = Object.entries(breakers).map(
    ([breaker, { state: how, retryAt }]) =>
      `breaker ${breaker === name ? '' : `${breaker} `}${how}${retryAt === undefined ? '' : `, tried again ${retryAt.slice(11, 19)}Z`}`,
  );
  const glyph = state !== 'up' ? red('✗') : held.length > 0 ? yellow('!') : green('✓');
  const words = [
    `${name} ${state}${reason === undefined ? '' : `: ${reason}`}`,
    ...(inFlight > 0 ? [`${inFlight} in flight`] : []),
    ...(restarts > 0 ? [`${restarts} restarts`] : []),
    ...held,
  ];
  return `${glyph} ${words.join(', ')}`;
}

function trafficWords({ requests, errors, callsPerSecond, p95Seconds }: Traffic): string {
  const many = callsPerSecond === null ? `${requests} since the start` : `${callsPerSecond.toFixed(1)}/s`;
  const failed = `${errors} ${errors === 1 ? 'error' : 'errors'}`;
  return [many, failed, ...(p95Seconds === null ? [] : [`p95 ${latency(p95Seconds)}`])].join(', ');
}

function keyLines({ keys, deployment }: StatusSnapshot, { green, red, yellow }: ChalkInstance): string[] {
  if (keys instanceof ExplainedError) return [];
  if (deployment?.auth.required === false) return [`${yellow('!')} not required: everyone on this machine may call`];
  const working = keys.filter(({ state }) => state === 'active' || state === 'rotating');
  const named = working.map((key) => {
    const ends = key.expiresAt === undefined ? '' : `, until ${key.expiresAt.slice(0, 10)}`;
    return `${key.label} (${key.ageDays} d${key.state === 'rotating' ? ', being replaced' : ''}${ends})`;
  });
  const old = working.filter(({ rotationDue }) => rotationDue);
  return [
    `${working.length > 0 ? green('✓') : red('✗')} ${working.length} working: ${named.join(', ') || 'none'}`,
    ...old.map(
      (key) => `${yellow('!')} "${key.label}" is ${key.ageDays} days old: mcp-deploy keys rotate ${key.label}`,
    ),
  ];
}

function nextCommand({ server, live, certificate, unfinished }: StatusSnapshot): string {
  if (unfinished !== null) return 'mcp-deploy up';
  if (server.state === 'stopped') return 'mcp-deploy start';
  if (live === null || (live.upstreams ?? []).some(({ state }) => state !== 'up')) return 'mcp-deploy doctor';
  if (certificate !== null && !(certificate instanceof ExplainedError) && certificate.daysLeft <= 30) {
    return 'mcp-deploy cert renew';
  }
  return 'mcp-deploy doctor        check everything; mcp-deploy status --watch follows it';
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

function latency(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'over a minute';
  return seconds < 1 ? `${Number((seconds * 1_000).toPrecision(2))} ms` : `${seconds.toFixed(1)} s`;
}

function size(bytes: number): string {
  if (bytes < 10_000) return `${bytes} bytes`;
  return bytes < 10_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${Math.round(bytes / 1_000_000)} MB`;
}
