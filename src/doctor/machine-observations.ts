/** What is seen of the machine of an own deployment, beside the files of its state folder. */
export interface MachineSeen {
  readonly secrets: readonly SecretSeen[];
  /** Files of the last release that are not as they were written; null when there is no record of a release. */
  readonly drifted: readonly { readonly path: string; readonly state: 'edited by hand' | 'removed' }[] | null;
  /** Null when it does not run, or this system does not tell. */
  readonly process: ProcessSeen | null;
  /** Listeners on a port of the deployment that are not its server. */
  readonly strangers: readonly { readonly port: number; readonly address: string; readonly holder: string }[];
  /** Null when no backup was ever made and none is set up. */
  readonly backup: BackupSeen | null;
  /** Null when none was installed. */
  readonly timer: TimerSeen | null;
  /** The same for backups. */
  readonly backupTimer: TimerSeen | null;
  /** Null when the deployment is no service of systemd, of the host or of its person. */
  readonly unit: UnitSeen | null;
  readonly clients: readonly ClientSettingSeen[];
  /** Secret files that belong to somebody who has no part in the deployment. */
  readonly foreignOwners: readonly { readonly path: string; readonly uid: number; readonly expectedUid: number }[];
  /** Null when nobody but this machine is to come in, or the rules cannot be read. */
  readonly firewall: FirewallSeen | null;
}

/** A secret where it does not belong. Never the secret itself. */
export interface SecretSeen {
  readonly where: 'settings' | 'git' | 'environment file' | 'arguments';
  readonly what: 'a private key' | 'an API key of this deployment' | 'a secret in clear';
  /** File and line, or program and process id. */
  readonly place: string;
  /** Of the file, where that is the trouble. */
  readonly mode?: number;
  /** The file, or null. */
  readonly path: string | null;
}

export interface ProcessSeen {
  readonly pid: number;
  readonly descriptors: { readonly open: number; readonly limit: number } | null;
  /** `v20.19.0` */
  readonly nodeVersion: string | null;
}

export interface BackupSeen {
  /** The newest one; null when none was made. */
  readonly newest: { readonly file: string; readonly ageDays: number } | null;
  /** As its record says; `gone` also when the file was taken elsewhere. */
  readonly file: 'as written' | 'changed' | 'gone' | null;
  /** backup.afterwards carries it away. */
  readonly takenAway: boolean;
  /** Since the first release that is still on record; null when that is not known. */
  readonly deployedDays: number | null;
}

export interface TimerSeen {
  readonly files: readonly { readonly path: string; readonly state: 'as written' | 'edited' | 'gone' }[];
  /** Of systemd; null where another program keeps it, or systemd was not asked. */
  readonly unit: { readonly name: string; readonly state: string } | null;
}

export interface UnitSeen {
  readonly name: string;
  /** Of the person (`systemctl --user`), not of the host. */
  readonly personal?: boolean;
  readonly active: string;
  /** Whether it starts with the machine. */
  readonly enabled: boolean;
  /** By itself, since it was started by hand or with the machine. */
  readonly restarts: number;
  /** Since the last start; null when it does not run. */
  readonly upSeconds: number | null;
}

export interface ClientSettingSeen {
  /** As `client add` knows it. */
  readonly id: string;
  readonly client: string;
  readonly path: string;
  readonly entry: string;
  readonly problem:
    | { readonly kind: 'old-url'; readonly url: string }
    | { readonly kind: 'wrong-key' }
    | { readonly kind: 'no-ca' }
    | { readonly kind: 'missing-file'; readonly file: string };
}

export interface FirewallSeen {
  readonly port: number;
  /** The rule or policy that drops it, in nft's words; null when nothing certain does. */
  readonly droppedBy: string | null;
}

/** The audit file before and after doctor's own requests, of which the server has to write lines. */
export interface AuditSeen {
  /** Null: logs.audit is off. */
  readonly file: string | null;
  readonly before: { readonly size: number; readonly inode: number } | null;
  readonly after: { readonly size: number; readonly inode: number } | null;
}
