import type { HttpRequest, HttpResponse } from '../http/http-message.ts';
import type { HealthAnswer } from '../observe/health.ts';
import type { LimitSharing } from '../policy/limit-sharing.ts';

/** The pages that speak for the whole server; `readyz-detail` adds why an upstream is down. */
export type PageName = 'metrics' | 'status' | 'health' | 'readyz' | 'readyz-detail';

/** What a worker knows of the others of its server. Without workers there is none of it. */
export interface Siblings {
  /** How many workers share caps and clients, this one included. */
  readonly count: number;
  /** A random id that says to which worker it belongs. */
  readonly makeId: () => string;
  /** The other worker to which an id belongs; null when it is ours, or nobody's. */
  otherOwnerOf(id: string): number | null;
  /**
   * Passes a request on to another worker and its answer back, both as they come.
   * @param body the body where it has been read, else null
   */
  passOn(req: HttpRequest, res: HttpResponse, to: number, given: PassedOn, body: string | null): void;
  /** Calls passed on whose answer is not complete. */
  passedOn(): number;
  readonly sharing: LimitSharing;
  /** A page about all workers. Never rejects; takes a bounded time. */
  gather(page: PageName): Promise<HealthAnswer | null>;
  /** Says how this worker answers when another one gathers. */
  onAsked(answer: (page: PageName) => HealthAnswer): void;
}

/** What the other worker cannot see itself. */
export interface PassedOn {
  readonly peer: string | undefined;
  readonly requestId: string;
}
