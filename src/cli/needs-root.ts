/** Thrown by a process that may only plan, where the next thing to do is for root. Its message says what. */
export class NeedsRoot extends Error {
  override name = 'NeedsRoot';
}
