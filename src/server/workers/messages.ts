import type { LimitDelta } from '../policy/limit-sharing.ts';
import type { PageName } from './siblings.ts';

/** What a worker gets told before anything else. */
export interface StartMessage {
  readonly kind: 'start';
  readonly slot: number;
  readonly count: number;
  /** The arguments of `serve`. */
  readonly argv: readonly string[];
  /** Text of the configuration file as the primary read it; null where flags configure. */
  readonly config: string | null;
  /** Where the workers' own sockets are. */
  readonly folder: string;
  /** The addresses that the primary listens on, for `RunningServer.urls`. */
  readonly origins: readonly string[];
  readonly ports: readonly (number | null)[];
  /** Base64: TLS sessions of one worker are resumed at another. */
  readonly ticketSecret: string;
  /** New connections wait for the next process while this one ends: no last call needs to be refused. */
  readonly handsOver: boolean;
}

export type ToWorker =
  | StartMessage
  /** Comes with the socket. */
  | {
      readonly kind: 'connection';
      readonly unix: boolean;
      /** Number of the listener for pages alone; null for the endpoint's own. */
      readonly pages: number | null;
    }
  /** `beat`: answered with the same, or this worker does not get on any more. */
  | { readonly kind: 'drain' | 'stop-now' | 'reload' | 'beat' }
  | { readonly kind: 'limits'; readonly topic: string; readonly deltas: readonly LimitDelta[] }
  | { readonly kind: 'report'; readonly askId: number; readonly page: PageName }
  | { readonly kind: 'gathered'; readonly askId: number; readonly status: 200 | 503; readonly body: string };

export type FromWorker =
  | { readonly kind: 'ready' }
  /** It will not start: what to say, and with which code to end. */
  | { readonly kind: 'refused'; readonly text: string; readonly exitCode: number }
  /** It finishes what it has and takes nothing new. */
  | { readonly kind: 'leaving' }
  | { readonly kind: 'beat' }
  /** Whether what it read is in force now. */
  | { readonly kind: 'reloaded'; readonly accepted: boolean }
  /** So many connections have ended since the last time. */
  | { readonly kind: 'closed'; readonly connections: number }
  | { readonly kind: 'limits'; readonly topic: string; readonly deltas: readonly LimitDelta[] }
  | { readonly kind: 'gather'; readonly askId: number; readonly page: PageName }
  | { readonly kind: 'reported'; readonly askId: number; readonly status: 200 | 503; readonly body: string };
