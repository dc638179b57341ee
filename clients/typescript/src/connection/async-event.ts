/** A flag that can be waited for. */
export class AsyncEvent {
  #isSet = false;
  readonly #waiting = new Set<(isSet: boolean) => void>();

  get isSet(): boolean {
    return this.#isSet;
  }

  set(): void {
    this.#isSet = true;
    for (const wake of [...this.#waiting]) wake(true);
  }

  clear(): void {
    this.#isSet = false;
  }

  /** Wait until the flag is set, or so many seconds. Returns whether it was set. */
  wait(seconds?: number): Promise<boolean> {
    if (this.#isSet) return Promise.resolve(true);
    return new Promise((resolve) => {
      const wake = (isSet: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(isSet);
      };
      const timer = seconds === undefined ? undefined : setTimeout(wake, seconds * 1000, false);
      this.#waiting.add(wake);
    });
  }
}
