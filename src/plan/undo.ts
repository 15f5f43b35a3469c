import type { ReplacedServer } from './action.ts';
import type { UnitChange, UnitManager } from './units.ts';
import type { ComposeProject } from './compose-project.ts';
import type { SwarmStack } from './swarm-stack.ts';
import type { Cluster } from './cluster.ts';
import type { LiveCertificate } from './live-certificate.ts';

/**
 * How to take a step back. `restore` puts the captured pre-images of the
 * touched paths back, byte for byte and mode for mode.
 */
export type Undo =
  /** `readBy` is a unit that a boot in the middle may have started with our files: it reads them again when they are back. */
  | { readonly type: 'restore'; readonly readBy?: string }
  | { readonly type: 'none' }
  /** Units are as they were before, in step with their files. */
  | { readonly type: 'restore-units'; readonly units: readonly UnitChange[]; readonly manager?: UnitManager }
  /** The containers of before run again, and no others. */
  | { readonly type: 'restore-containers'; readonly project: ComposeProject }
  | { readonly type: 'restore-stack'; readonly stack: SwarmStack; readonly timeoutMs: number }
  /** The objects of before are again as the former manifests say, and no others are there. */
  | { readonly type: 'restore-objects'; readonly cluster: Cluster; readonly timeoutMs: number }
  /** Secrets of the step are as they were before it. */
  | { readonly type: 'restore-secret'; readonly cluster: Cluster }
  /** Removes a namespace that the step made. */
  | { readonly type: 'remove-namespace'; readonly cluster: Cluster }
  /** Removes an image that was not there before. */
  | { readonly type: 'remove-image'; readonly image: string }
  /** Ends a trial whose command was killed. */
  | { readonly type: 'stop-trial'; readonly unit: string; readonly files: readonly string[] }
  /** Removes a user that was made by the step. */
  | { readonly type: 'remove-user'; readonly user: string; readonly home: string }
  | { readonly type: 'ensure-user'; readonly user: string; readonly home: string }
  | { readonly type: 'run-command'; readonly argv: readonly string[] }
  /** After all files are back: the former pair is taken up again and proven. */
  | { readonly type: 'serve-certificate'; readonly live: LiveCertificate }
  | { readonly type: 'stop-server'; readonly pidFile: string; readonly graceMs: number }
  /** The server of before serves again, unless it never ended. */
  | ({ readonly type: 'replace-server' } & ReplacedServer)
  | {
      readonly type: 'start-server';
      readonly argv: readonly string[];
      readonly cwd: string;
      readonly pidFile: string;
      readonly logFile: string;
    };
