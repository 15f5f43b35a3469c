/** What processes hold at the same time of something that is limited for all of them together. */
export interface Holdings {
  /**
   * One thing that is limited.
   * @param heldBy what this process holds for a holder now
   */
  kind(name: string, heldBy: (holder: string) => number): HoldingKind;
}

export interface HoldingKind {
  /**
   * What other processes hold for this holder, as far as it is known; to be asked each time that one more is wanted.
   * @param held by this process
   * @param most that all together may hold
   */
  elsewhere(holder: string, held: number, most: number): number;
}
