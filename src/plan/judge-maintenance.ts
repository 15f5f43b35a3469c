import { compareVersions } from './compare-versions.ts';

/** How often something is looked at, as people who run servers do. */
export type MaintenanceTurn = 'daily' | 'weekly' | 'monthly' | 'quarterly';

/** What is known about a deployment when its upkeep is judged. Ages in seconds. */
export interface MaintenanceFacts {
  readonly server: {
    readonly running: boolean;
    readonly answers: boolean;
    /** Restarts of upstreams since the server started. */
    readonly upstreamRestarts: number;
    /** Of the running server; null when it does not say. */
    readonly version: string | null;
    /** Of the server that this mcp-deploy brings. */
    readonly ownVersion: string;
  };
  readonly backup: {
    readonly ageSeconds: number | null;
    readonly overdue: boolean;
    /** Whether one can be made with nobody to ask. */
    readonly unattended: boolean;
    /** Whether a timer is installed. */
    readonly timer: boolean;
  };
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number } | null;
  /** What trimming would take away. */
  readonly trim: { readonly files: number; readonly bytes: number };
  readonly releasesBeyond: number;
  readonly keepReleases: number;
  /** Null without TLS; damage is a reason of its own. */
  readonly certificate: { readonly daysLeft: number; readonly isOurs: boolean } | 'damaged' | null;
  readonly caDaysLeft: number | null;
  readonly oldKeys: readonly { readonly label: string; readonly ageDays: number }[];
  /** Null where nothing is audited. */
  readonly audit: { readonly ageSeconds: number | null; readonly ok: boolean } | null;
  readonly doctor: { readonly ageSeconds: number | null; readonly ok: boolean };
  readonly restoreDrill: { readonly ageSeconds: number | null; readonly ok: boolean };
  /** Null where nothing can fail alone: no MCP server as a process, one worker. */
  readonly failoverDrill: { readonly ageSeconds: number | null; readonly ok: boolean } | null;
  /** Errors in the log of the last day; null when it cannot be read. */
  readonly logErrors: number | null;
}

export type MaintenanceTask = 'backup' | 'trim' | 'releases' | 'certificate' | 'audit' | 'doctor';

export interface MaintenanceItem {
  readonly id: string;
  readonly turn: MaintenanceTurn;
  readonly title: string;
  readonly due: boolean;
  readonly detail: string;
  /** What a person types; null when nothing is to be done. */
  readonly next: string | null;
  /** What `maintenance --run` does for it; null for what needs a person. */
  readonly task: MaintenanceTask | null;
}

const daySeconds = 86_400;
/** A deployment that cannot write its log or its audit refuses calls. */
const leastFreeBytes = 1_073_741_824;
const leastFreeShare = 0.1;
const keysDueDays = 90;

/** What is due, in the order of the turns: a line for each thing, healthy or not. Pure. */
export function judgeMaintenance(facts: MaintenanceFacts): readonly MaintenanceItem[] {
  return [
    serverItem(facts),
    backupItem(facts),
    diskItem(facts),
    logItem(facts),
    ...certificateItems(facts),
    recordedItem('doctor', 'weekly', {
      title: 'doctor',
      seen: facts.doctor,
      everyDays: 7,
      task: 'doctor',
      next: 'mcp-deploy doctor',
    }),
    ...(facts.audit === null
      ? []
      : [
          recordedItem('audit', 'weekly', {
            title: 'audit chain',
            seen: facts.audit,
            everyDays: 7,
            task: 'audit',
            next: 'mcp-deploy audit verify',
          }),
        ]),
    crashItem(facts),
    ...(facts.failoverDrill === null
      ? []
      : [
          recordedItem('failover-drill', 'weekly', {
            title: 'failover drill',
            seen: facts.failoverDrill,
            everyDays: 7,
            task: null,
            next: 'mcp-deploy drill failover',
          }),
        ]),
    trimItem(facts),
    releasesItem(facts),
    recordedItem('restore-drill', 'monthly', {
      title: 'restore drill',
      seen: facts.restoreDrill,
      everyDays: 31,
      task: null,
      next: 'mcp-deploy drill restore --identity FILE',
    }),
    versionItem(facts),
    recordedItem('disaster-drill', 'quarterly', {
      title: 'disaster drill',
      // One that failed is told by its own line.
      seen: { ...facts.restoreDrill, ok: true },
      everyDays: 92,
      task: null,
      next: 'mcp-deploy drill restore FILE --identity KEY, with the copy that lies elsewhere',
    }),
    keysItem(facts),
  ];
}

function serverItem({ server }: MaintenanceFacts): MaintenanceItem {
  const due = !server.running || !server.answers;
  return {
    id: 'server',
    turn: 'daily',
    title: 'server',
    due,
    detail: !server.running ? 'stopped' : server.answers ? 'running, answers' : 'running, does not answer',
    next: !due ? null : server.running ? 'mcp-deploy doctor' : 'mcp-deploy start',
    task: null,
  };
}

function backupItem({ backup }: MaintenanceFacts): MaintenanceItem {
  const { ageSeconds, overdue, unattended, timer } = backup;
  const due = ageSeconds === null || overdue;
  const age = ageSeconds === null ? 'never made' : `${inWords(ageSeconds)} old`;
  return {
    id: 'backup',
    turn: 'daily',
    title: 'backup',
    due,
    detail: timer ? age : `${age}, no timer`,
    next: due
      ? unattended
        ? 'mcp-deploy backup create'
        : 'mcp-deploy backup key, then backup.recipients'
      : timer
        ? null
        : 'mcp-deploy backup create --install-timer',
    task: due && unattended ? 'backup' : null,
  };
}

function diskItem({ disk }: MaintenanceFacts): MaintenanceItem {
  const common = { id: 'disk', turn: 'daily', title: 'disk', task: null } as const;
  if (disk === null) return { ...common, due: false, detail: 'not known here', next: null };
  const share = disk.totalBytes === 0 ? 1 : disk.freeBytes / disk.totalBytes;
  const due = disk.freeBytes < leastFreeBytes || share < leastFreeShare;
  return {
    ...common,
    due,
    detail: `${bytesInWords(disk.freeBytes)} free, ${Math.floor(share * 100)} %`,
    next: due ? 'make room; backup.keep and logs.rotate say how much is kept' : null,
  };
}

/** A few come with every change; more than these in a day are worth a look. */
const fewErrors = 10;

function logItem({ logErrors }: MaintenanceFacts): MaintenanceItem {
  const due = logErrors !== null && logErrors > fewErrors;
  return {
    id: 'logs',
    turn: 'daily',
    title: 'log',
    due,
    detail: logErrors === null ? 'not known here' : `${logErrors} errors in the last day`,
    next: due ? 'mcp-deploy logs --lines 200' : null,
    task: null,
  };
}

function certificateItems({ certificate, caDaysLeft }: MaintenanceFacts): readonly MaintenanceItem[] {
  if (certificate === null) return [];
  const common = { id: 'certificate', turn: 'daily', title: 'certificate' } as const;
  const leaf: MaintenanceItem =
    certificate === 'damaged'
      ? { ...common, due: true, detail: 'cannot be read', next: 'mcp-deploy up', task: null }
      : {
          ...common,
          due: certificate.daysLeft <= 30,
          detail: `${certificate.daysLeft} days left`,
          next:
            certificate.daysLeft > 30
              ? null
              : certificate.isOurs
                ? 'mcp-deploy cert renew'
                : 'put a new pair in its place',
          task: certificate.daysLeft <= 30 && certificate.isOurs ? 'certificate' : null,
        };
  if (caDaysLeft === null) return [leaf];
  return [
    leaf,
    {
      id: 'ca',
      turn: 'quarterly',
      title: 'private CA',
      due: caDaysLeft <= 180,
      detail: `${caDaysLeft} days left`,
      next: caDaysLeft <= 180 ? 'mcp-deploy cert ca' : null,
      task: null,
    },
  ];
}

function recordedItem(
  id: string,
  turn: MaintenanceTurn,
  about: {
    readonly title: string;
    readonly seen: { readonly ageSeconds: number | null; readonly ok: boolean };
    readonly everyDays: number;
    readonly task: MaintenanceTask | null;
    readonly next: string;
  },
): MaintenanceItem {
  const { seen, everyDays } = about;
  const due = seen.ageSeconds === null || !seen.ok || seen.ageSeconds > everyDays * daySeconds;
  const when = seen.ageSeconds === null ? 'never done' : `${inWords(seen.ageSeconds)} ago`;
  return {
    id,
    turn,
    title: about.title,
    due,
    detail: seen.ageSeconds !== null && !seen.ok ? `failed ${when}` : when,
    next: due ? about.next : null,
    task: due ? about.task : null,
  };
}

function crashItem({ server }: MaintenanceFacts): MaintenanceItem {
  const due = server.upstreamRestarts > 2;
  return {
    id: 'crashes',
    turn: 'weekly',
    title: 'upstream crashes',
    due,
    detail: server.answers ? `${server.upstreamRestarts} since the server started` : 'not known: it does not answer',
    next: due ? 'mcp-deploy logs' : null,
    task: null,
  };
}

function trimItem({ trim }: MaintenanceFacts): MaintenanceItem {
  const due = trim.files > 0;
  return {
    id: 'trim',
    turn: 'weekly',
    title: 'old logs and leftovers',
    due,
    detail: due ? `${trim.files} files, ${bytesInWords(trim.bytes)}` : 'none',
    next: due ? 'mcp-deploy maintenance --run' : null,
    task: due ? 'trim' : null,
  };
}

function releasesItem({ releasesBeyond, keepReleases }: MaintenanceFacts): MaintenanceItem {
  const due = releasesBeyond > 0;
  return {
    id: 'releases',
    turn: 'monthly',
    title: 'releases',
    due,
    detail: due
      ? `${releasesBeyond} beyond the ${keepReleases} that are kept`
      : `none beyond the ${keepReleases} that are kept`,
    next: due ? 'mcp-deploy maintenance --run' : null,
    task: due ? 'releases' : null,
  };
}

function versionItem({ server }: MaintenanceFacts): MaintenanceItem {
  const due = server.version !== null && server.version !== server.ownVersion;
  return {
    id: 'version',
    turn: 'monthly',
    title: 'version of the server',
    due,
    detail:
      server.version === null ? 'not known' : due ? `${server.version}; ${server.ownVersion} is here` : server.version,
    next: !due
      ? null
      : (compareVersions(server.ownVersion, server.version ?? '') ?? 0) < 0
        ? `npm install -g mcp-deploy@${server.version}`
        : 'mcp-deploy upgrade --dry-run, then mcp-deploy upgrade',
    task: null,
  };
}

function keysItem({ oldKeys }: MaintenanceFacts): MaintenanceItem {
  const [oldest] = oldKeys.toSorted((a, b) => b.ageDays - a.ageDays);
  const label = oldest === undefined ? '' : /^[\w.-]+$/.test(oldest.label) ? oldest.label : `'${oldest.label}'`;
  return {
    id: 'keys',
    turn: 'quarterly',
    title: 'API keys',
    due: oldest !== undefined,
    detail:
      oldest === undefined
        ? `none older than ${keysDueDays} days`
        : `${oldKeys.length} older than ${keysDueDays} days, the oldest ${oldest.ageDays}`,
    next: oldest === undefined ? null : `mcp-deploy keys rotate ${label} --overlap 7d`,
    task: null,
  };
}

function inWords(seconds: number): string {
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * daySeconds) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / daySeconds)} d`;
}

function bytesInWords(bytes: number): string {
  if (bytes < 10_000) return `${bytes} bytes`;
  if (bytes < 10_000_000) return `${Math.round(bytes / 1_000)} kB`;
  return bytes < 10_000_000_000 ? `${Math.round(bytes / 1_000_000)} MB` : `${Math.round(bytes / 1_000_000_000)} GB`;
}
