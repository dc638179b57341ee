/** An answer that is an error, or a server that does not answer. `status` is 0 without an answer. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly field: string | null = null,
    readonly requestId: string | null = null,
  ) {
    super(message);
    this.name = "Problem";
  }

  /** The server has no such endpoint, or this caller may not use it: the page says so instead of failing. */
  get isUnavailable(): boolean {
    return this.status === 403 || this.status === 404 || this.status === 405;
  }
}

/** Convert what was thrown: an error of a client library, of `fetch`, or a body of RFC 9457. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  if (thrown instanceof TypeError) return new Problem(0, "The server does not answer.");
  const status = isObject(thrown) && typeof thrown.status === "number" ? thrown.status : 0;
  const body = isObject(thrown) && typeof thrown.text === "string" ? parse(thrown.text) : thrown;
  return fromBody(status, body, thrown instanceof Error ? thrown.message : "The request failed.");
}

export function fromBody(status: number, body: unknown, otherwise: string): Problem {
  if (!isObject(body) || typeof body.detail !== "string") return new Problem(status, otherwise);
  return new Problem(
    typeof body.status === "number" ? body.status : status,
    body.detail,
    text(body.code),
    text(body.field),
    text(body.request_id),
  );
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
