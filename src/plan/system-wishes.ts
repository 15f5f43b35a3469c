import type { Deployment } from '../deployment/schema.ts';
import type { RenderedHost } from './system-facts.ts';

/** The server that a release starts, where it is not the one of this mcp-deploy. */
export interface WantedBuild {
  readonly file: string;
  readonly sha256: string;
  readonly version: string;
}

/** What is asked of a host. */
export interface SystemWishes {
  readonly deployment: Deployment;
  /** Text of server.json. */
  readonly config: string;
  readonly host: RenderedHost;
  readonly build: WantedBuild;
  readonly adopt: boolean;
  /** Number of the release that this plan makes. */
  readonly release: number;
  /** Whether files that the server loads once are written before: only another process has them. */
  readonly filesChange: boolean;
  /** Whether steps between `before` and `after` change what the server reads by itself. */
  readonly othersChange: boolean;
}
