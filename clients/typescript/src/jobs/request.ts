/**
 * Jobs: work that the server gives to an instance.
 *
 * An instance that states its `slots` is offered jobs. It accepts an offer, reports events, and ends the job with a
 * result, an error or interrupts. Each message names the attempt, and the registration and its epoch. A message that
 * does not match is fenced: the job was given to another instance, or has ended.
 *
 * Rules
 *   1. An offer is accepted when the program begins the job, and at the latest after half of the server's time limit.
 *      It then waits here for the program, which promised a slot for it.
 *   2. Events are numbered from 1. They are sent in order, and kept until the server acknowledges them. After a broken
 *      connection they are repeated from the last acknowledgement.
 *   3. `emit` waits while 64 events or 256 KiB are not acknowledged. One message is sent at a time, at most every 20
 *      ms: what is emitted meanwhile travels together.
 *   4. A registration names the jobs that this instance still has. The server answers with those that go on, and the
 *      others are lost.
 *   5. While a registration is in progress, no message about a job is sent, and none is believed to be fenced.
 */
import type { JsonObject } from "../json.js";

/** A job as the server offers it. */
export interface JobRequest {
  readonly jobId: string;
  /** Counts the accepted executions of the job. */
  readonly attempt: number;
  /** The same for all attempts. */
  readonly idempotencyKey: string;
  readonly agentId: string;
  readonly runId: string | null;
  readonly threadId: string | null;
  /** The state of the thread. */
  readonly input: JsonObject;
  /** The answer to an earlier interrupt of this thread, else null. */
  readonly resume: unknown;
  readonly config: { readonly configurable?: JsonObject; readonly metadata?: JsonObject };
  readonly context: JsonObject;
  readonly user: { readonly identity?: string };
  /** The events that the caller reads. */
  readonly streamMode: readonly string[];
  readonly deadline: Date | null;
  readonly acceptWithinSeconds: number;
  /** The span of the run that waits, for spans below it (W3C Trace Context). Null: the server does not trace. */
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

/** The members of an offer that this version knows. One that is null has its default. */
export function parseOffer(offer: JsonObject): JobRequest {
  return {
    jobId: String(offer["job_id"]),
    attempt: Number(offer["attempt"]),
    idempotencyKey: String(offer["idempotency_key"]),
    agentId: String(offer["agent_id"]),
    runId: (offer["run_id"] ?? null) as string | null,
    threadId: (offer["thread_id"] ?? null) as string | null,
    input: (offer["input"] ?? {}) as JsonObject,
    resume: offer["resume"] ?? null,
    config: (offer["config"] ?? {}) as JsonObject,
    context: (offer["context"] ?? {}) as JsonObject,
    user: (offer["user"] ?? {}) as JsonObject,
    streamMode: (offer["stream_mode"] ?? []) as string[],
    deadline: offer["deadline"] ? new Date(String(offer["deadline"])) : null,
    acceptWithinSeconds: Number(offer["accept_within_seconds"] ?? 2),
    traceparent: (offer["traceparent"] ?? null) as string | null,
    tracestate: (offer["tracestate"] ?? null) as string | null,
  };
}
