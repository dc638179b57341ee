/** The events of a job that the server has not acknowledged: numbered, in order, within the window. */
import type { JsonText } from "../json.js";

/** The window: so many events, or bytes of them, may be unacknowledged. One event, and one message, is not larger. */
export const MAX_EVENTS = 64;
export const MAX_BYTES = 256 * 1024;

/** The first event has the number 1. */
export class EventOutbox {
  #appliedThrough = 0;
  #bytes = 0;
  /** Those with the numbers from `appliedThrough` + 1. */
  #events: JsonText[] = [];

  get appliedThrough(): number {
    return this.#appliedThrough;
  }

  get length(): number {
    return this.#events.length;
  }

  get isFull(): boolean {
    return this.#events.length >= MAX_EVENTS || this.#bytes >= MAX_BYTES;
  }

  append(event: JsonText): void {
    this.#events.push(event);
    this.#bytes += event.bytes;
  }

  /** Return the number of the first event, and as many events as fit into one message. */
  nextBatch(): [firstSeq: number, events: JsonText[]] {
    let [count, size] = [0, 0];
    for (const event of this.#events) {
      size += event.bytes;
      if (size > MAX_BYTES) break;
      count += 1;
    }
    return [this.#appliedThrough + 1, this.#events.slice(0, count)];
  }

  /** Forget events up to this number. */
  acknowledge(appliedThrough: number): void {
    const count = Math.max(0, Math.min(appliedThrough - this.#appliedThrough, this.#events.length));
    for (const event of this.#events.splice(0, count)) this.#bytes -= event.bytes;
    this.#appliedThrough += count;
  }

  /** Forget all events. */
  drop(): void {
    this.#events = [];
    this.#bytes = 0;
  }
}
