/** Exponential backoff with full jitter, so that clients that lost the same server do not all return at once. */

export const INITIAL_SECONDS = 0.5;
/** The length of a lease: after a longer wait the lease has expired anyway. */
export const MAX_SECONDS = 15;

/** Delays between 0 and `initial` · 2ⁿ seconds, at most `maximum`. Call `reset` when a connection lasts. */
export class Backoff {
  #failures = 0;

  constructor(
    private readonly initial = INITIAL_SECONDS,
    private readonly maximum = MAX_SECONDS,
  ) {}

  nextDelay(): number {
    const ceiling = Math.min(this.maximum, this.initial * 2 ** this.#failures);
    this.#failures += 1;
    return jitter(ceiling);
  }

  /** Wait for the next delay. */
  async wait(): Promise<void> {
    const seconds = this.nextDelay();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }

  reset(): void {
    this.#failures = 0;
  }
}

export function jitter(maximum: number, minimum = 0): number {
  return minimum + Math.random() * (maximum - minimum);
}
