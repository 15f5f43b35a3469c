import { isAtLeast, parseVersion } from '../parse-version.ts';

/** What the systemd of a host understands; a setting that it does not know would be a warning at every start. */
export interface SystemdKnows {
  /** Its systemd-notify waits until it was heard, so the server can say when it is ready. */
  readonly notify: boolean;
  readonly exec: boolean;
  /** Waits until a reload has ended. */
  readonly notifyReload: boolean;
  readonly restartSteps: boolean;
  readonly protectProc: boolean;
  readonly credentials: boolean;
  readonly protectClock: boolean;
  readonly protectKernelLogs: boolean;
  readonly oomPolicy: boolean;
  readonly protectHostname: boolean;
  readonly logRateLimit: boolean;
}

/** Without a version the unit suits systemd 247 and newer: Debian 11, Ubuntu 22.04, RHEL 9. Source: systemd's NEWS. */
export function readSystemdKnows(programVersion = '247'): SystemdKnows {
  const version = parseVersion(programVersion);
  const since = (major: number): boolean => isAtLeast(version, [major, 0, 0]);
  return {
    notify: since(246),
    exec: since(240),
    notifyReload: since(253),
    restartSteps: since(254),
    protectProc: since(247),
    credentials: since(247),
    protectClock: since(245),
    protectKernelLogs: since(244),
    oomPolicy: since(243),
    protectHostname: since(242),
    logRateLimit: since(240),
  };
}
