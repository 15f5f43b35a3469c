import type { Deployment } from '../deployment/schema.ts';
import type { TargetInput } from '../targets/types.ts';
import type { PlacedFiles } from './plan-sent-files.ts';
import type { RenderedHost } from './system-facts.ts';
import type { WantedBuild } from './system-wishes.ts';

/** What a plan is made for. */
export interface Desired {
  readonly deployment: Deployment;
  /** Text to write to mcp-deploy.yaml, or null to leave the file alone. */
  readonly deploymentText: string | null;
  /** Leaves edits by hand as they are. */
  readonly adopt?: boolean;
  /** Goes back to an older version than what runs, when this one is older. */
  readonly allowDowngrade?: boolean;
  /** The release that is put back. */
  readonly rollbackOf?: number;
  /** What the targets wrote, in system scope. */
  readonly host?: RenderedHost;
  /** What the targets are given, where containers serve. */
  readonly containers?: TargetInput;
  /** The image of the release that is put back, where containers serve. */
  readonly image?: string;
  /** What comes with mcp-deploy.yaml; left out where its files lie beside it already. */
  readonly placed?: PlacedFiles;
  /** The server of the release that is put back; that of this mcp-deploy when absent. */
  readonly build?: WantedBuild;
  /** The text of server.json that was made for that build, where it is of another version. */
  readonly config?: string;
}
