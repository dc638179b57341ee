/**
 * Errors of this package.
 *
 *     ClientError
 *     ├── Unauthenticated   credentials are missing, wrong, expired or revoked; retrying does not help
 *     ├── Forbidden         the credentials are valid, but not for this tenant or method, or the agent is disabled
 *     ├── Superseded        a newer process has registered under the same instanceId and has taken over
 *     ├── Refused           the server rejects a request; `retryable` says whether it may succeed later
 *     ├── Unreachable       no server answered within the time limit
 *     ├── JobLost           the job ended, or was given to another instance; what this one does has no effect
 *     ├── JobCancelled      the job is to stop
 *     └── Closed            the client was used before it was opened or after it was closed
 */
import type { JsonObject } from "./json.js";

/** The base of all errors of this package. */
export class ClientError extends Error {
  override name = "ClientError";
}

export class Unauthenticated extends ClientError {
  override name = "Unauthenticated";
}

export class Forbidden extends ClientError {
  override name = "Forbidden";
}

export class Superseded extends ClientError {
  override name = "Superseded";
}

export class Unreachable extends ClientError {
  override name = "Unreachable";
}

export class JobLost extends ClientError {
  override name = "JobLost";
}

export class JobCancelled extends ClientError {
  override name = "JobCancelled";
}

export class Closed extends ClientError {
  override name = "Closed";
}

/** `code` is the error code of the protocol, `reason` a stable word, `field` the parameter that is wrong. */
export class Refused extends ClientError {
  override name = "Refused";
  /** Undefined when the refusal is not a message of the protocol, as in the handshake. */
  readonly code: number | undefined;
  readonly reason: string;
  readonly field: string | undefined;
  readonly retryable: boolean;

  constructor(
    detail: string,
    given: { code?: number | undefined; reason?: string; field?: string | undefined; retryable?: boolean } = {},
  ) {
    super(detail);
    this.code = given.code;
    this.reason = given.reason ?? "refused";
    this.field = given.field;
    this.retryable = given.retryable ?? false;
  }
}

/** The error code for credentials and rights alike; `reason` tells them apart. */
const AUTHENTICATION = 4001;
const CREDENTIAL_REASON = /^(key|token|credentials|ticket)_/;

/** Turn the `error` object of an error message into Unauthenticated, Forbidden or Refused. */
export function errorFromMessage(error: JsonObject): ClientError {
  const data = (error["data"] ?? {}) as JsonObject;
  const detail = String(error["message"]);
  const reason = String(data["reason"]);
  if (error["code"] === AUTHENTICATION) {
    return CREDENTIAL_REASON.test(reason) ? new Unauthenticated(detail) : new Forbidden(detail);
  }
  return new Refused(detail, {
    code: error["code"] as number | undefined,
    reason,
    field: data["field"] as string | undefined,
    retryable: error["retryable"] === true,
  });
}

/** Wrap an exception of the program's callbacks, or of a fault in this package. */
export function unexpectedError(error: unknown): ClientError {
  return error instanceof ClientError ? error : new ClientError(`Unexpected error: ${error}`, { cause: error });
}
