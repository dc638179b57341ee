/** Time limits and intervals of a client, and waiting. */
import { INITIAL_SECONDS, MAX_SECONDS } from "./connection/backoff.js";

/** All values are seconds. */
export interface Timing {
  /** Limit for one reply; a connection that takes longer is dropped. The server's own limit is 10. */
  answer: number;
  /** Interval of pings, and limit for each pong. A half-open connection is detected within twice this time. */
  keepalive: number;
  /** Limit for a request, including the wait for a connection. */
  patience: number;
  /** Limit for the first connection in `open`. */
  ready: number;
  /** First and largest ceiling of the delay between attempts to connect. */
  backoffFirst: number;
  backoffMost: number;
  /** A connection that lasted this long resets the backoff. */
  steady: number;
  /** Limit for each step of closing. */
  leave: number;
}

export const DEFAULT_TIMING: Timing = {
  answer: 15,
  keepalive: 5,
  patience: 30,
  ready: 30,
  backoffFirst: INITIAL_SECONDS,
  backoffMost: MAX_SECONDS,
  steady: 10,
  leave: 5,
};

/** @internal */
export class TimeLimitExceeded extends Error {}

/**
 * Wait for `promise`, at most so many seconds. Throws TimeLimitExceeded.
 * @internal
 */
export async function within<T>(seconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TimeLimitExceeded(`not within ${seconds} s`)), Math.max(0, seconds) * 1000);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A monotonic clock, in seconds.
 * @internal
 */
export function now(): number {
  return performance.now() / 1000;
}
