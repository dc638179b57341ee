/**
 * Decide what follows a closed or refused connection: reconnect, or throw an error.
 *
 *     4401, 4403       throw Unauthenticated, Forbidden.
 *     4408 lease lost  reconnect and register again.
 *     4409 superseded  throw Superseded.
 *     4429 too many    reconnect after at least five seconds.
 *     1012 restart     reconnect when the server said, else within two seconds.
 *     other codes      reconnect with backoff.
 *
 * A refused handshake is decided by its HTTP status: 401 and 403 throw as above, 429 and 5xx reconnect (after
 * `Retry-After`), the rest throws Refused.
 */
import { ClientError, Forbidden, Refused, Superseded, Unauthenticated } from "../errors.js";

export const [RESTART, CREDENTIALS, TENANT, LEASE_LOST, SUPERSEDED, TOO_MANY] = [1012, 4401, 4403, 4408, 4409, 4429];
export const TOO_MANY_SECONDS = 5;
const RESTART_SECONDS = 2;

/**
 * Connect again after `minDelay` seconds plus a random delay.
 *
 * The random delay is up to `spread` seconds, or that of the backoff when `spread` is undefined.
 */
export class RetryConnection extends Error {
  readonly minDelay: number;
  readonly spread: number | undefined;

  constructor(reason: string, { minDelay = 0, spread }: { minDelay?: number; spread?: number } = {}) {
    super(reason);
    this.minDelay = minDelay;
    this.spread = spread;
  }
}

/** How a connection ended. */
export interface CloseEvent {
  /** Undefined: it broke. */
  readonly code: number | undefined;
  readonly reason: string;
  /** The seconds that the server announced before a restart. */
  readonly reconnectAfter?: number | undefined;
}

export function errorForClose(event: CloseEvent): ClientError | RetryConnection {
  const { code, reconnectAfter } = event;
  const reason = event.reason || (code === undefined ? "the connection broke" : `closed with ${code}`);
  if (code === CREDENTIALS) return new Unauthenticated(reason);
  if (code === TENANT) return new Forbidden(reason);
  if (code === SUPERSEDED) return new Superseded(reason);
  if (code === TOO_MANY) return new RetryConnection(reason, { minDelay: TOO_MANY_SECONDS });
  if (code === LEASE_LOST) return new RetryConnection(reason, { spread: 0.5 });
  if (code !== RESTART) return new RetryConnection(reason);
  if (reconnectAfter === undefined) return new RetryConnection(reason, { spread: RESTART_SECONDS });
  return new RetryConnection(reason, { minDelay: reconnectAfter, spread: 0.1 });
}

/** The same for a refused handshake and other HTTP requests. `retryAfter`: seconds. */
export function errorForStatus(status: number, detail: string, retryAfter: number): ClientError | RetryConnection {
  const text = `${detail} (HTTP ${status})`;
  if (status === 401) return new Unauthenticated(text);
  if (status === 403) return new Forbidden(text);
  if (status === 429 || status >= 500) return new RetryConnection(text, { minDelay: retryAfter });
  return new Refused(text, { reason: "handshake" });
}

/** Seconds of `Retry-After` (RFC 9110, section 10.2.3), at most 60. 0 without one, and for a date. */
export function parseRetryAfter(text: string | null | undefined): number {
  return text && /^\d+$/.test(text) ? Math.min(Number(text), 60) : 0;
}

/** `detail` of a problem document (RFC 9457). A proxy may answer with something else. */
export function problemDetail(body: string): string | undefined {
  try {
    const { detail } = JSON.parse(body) as { detail?: unknown };
    return typeof detail === "string" ? detail : undefined;
  } catch {
    return undefined;
  }
}
