import type { Deployment } from '../deployment/schema.ts';
import { nameOnHost } from '../targets/name-on-host.ts';
import type { TargetInput } from '../targets/types.ts';
import type { AdoptedFile, Notice, Step } from './types.ts';

/** What a planner of containers is asked for. */
export interface ContainerWishes {
  readonly input: TargetInput;
  readonly adopt: boolean;
  /** Whether steps before change the key store, or the certificate. */
  readonly changes: { readonly keys: boolean; readonly certificate: boolean };
  /** The image of a release that is put back; built from the files of this mcp-deploy when absent or gone. */
  readonly image?: string;
}

/** What it answers. */
export interface ContainerPlan {
  readonly steps: readonly Step[];
  readonly notices: readonly Notice[];
  readonly adopted: readonly AdoptedFile[];
  /** Of this machine's engine, tagged by content; null where it is somebody else's. */
  readonly image: string | null;
  /** Whether anything starts, so that it has to be looked at. */
  readonly serves: boolean;
}

/** Name of the Compose project, or of the stack. */
export function projectName(deployment: Pick<Deployment, 'name'>): string {
  return nameOnHost(deployment.name);
}

/** How long a container may take until its server is ready. */
export function readyTimeoutMs({ server }: Deployment): number {
  const slowest = Math.max(0, ...Object.values(server.upstreams).map((upstream) => upstream.startSeconds));
  return 20_000 + Math.round(slowest * 1_000);
}
