import type { Step } from '../plan/types.ts';

/** What the interpreter tells while it works. Data only: who shows it, decides how. */
export type ProgressEvent =
  | { readonly type: 'step-start'; readonly step: Step }
  /** What a long step waits for at this moment; `sinceMs`: for how long it has. */
  | { readonly type: 'step-doing'; readonly step: Step; readonly text: string; readonly sinceMs: number }
  /** `detail`: the fact that is now true, for the right-hand side of its line; null when there is nothing to add. */
  | { readonly type: 'step-done'; readonly step: Step; readonly detail: string | null }
  | { readonly type: 'step-failed'; readonly step: Step; readonly error: unknown }
  /** The user asked to stop; what was done is undone. */
  | { readonly type: 'interrupted' }
  | { readonly type: 'undo-start'; readonly steps: number }
  | { readonly type: 'undo-step'; readonly title: string; readonly leftovers: readonly string[] }
  | { readonly type: 'undo-done'; readonly leftovers: readonly string[] };

export type OnProgress = (event: ProgressEvent) => void;
