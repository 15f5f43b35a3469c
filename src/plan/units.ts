/** Who runs units, where that is not the systemd of the host. */
export type UnitManager = { readonly type: 'systemd-user' } | LaunchdManager;

/** launchd of macOS. */
export interface LaunchdManager {
  readonly type: 'launchd';
  /** Such as `gui/501`. */
  readonly domain: string;
  /** The property list of the job. */
  readonly file: string;
}

/** What becomes of a unit. */
export interface UnitChange {
  /** With its suffix. */
  readonly unit: string;
  readonly at: 'start' | 'restart' | 'reload' | 'stop';
  /** Whether it starts at boot; null leaves that as it is. */
  readonly enabled: boolean | null;
}

/** By unit: whether it was enabled as well when it was started. */
export type StartedUnits = Readonly<Record<string, 'started' | 'started and enabled'>>;
