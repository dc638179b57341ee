/** A job that the program works on. */
import { type ClientError, JobCancelled } from "../errors.js";
import type { JsonObject } from "../json.js";
import type { Logger } from "../logger.js";
import { cancelledEnd, exceptionEnd, handedBackEnd, interruptsEnd, type JobEnd, resultEnd } from "./ends.js";
import type { JobMessenger } from "./messenger.js";
import { type JobEventName, JobReporter } from "./reporter.js";
import { type JobRequest, parseOffer } from "./request.js";

/** A token, or an event with its data. */
export type JobEvent = string | readonly [event: JobEventName, data: unknown];

/** Work of a program on a job. It returns the result: a state update or a text. */
export type JobWork = (job: Job) => unknown;

export interface Job extends JobRequest {}

/**
 * `run` accepts the job, and ends it with what `work` returns or throws. The other methods do it step by step.
 *
 * Without a result, the tokens are the answer.
 */
export class Job {
  /** The result, unless `work` returns one. */
  result: unknown;
  readonly #reporter: JobReporter;
  readonly #log: Logger;
  readonly #stopped = new AbortController();

  /** @internal */
  constructor(offer: JsonObject, messenger: JobMessenger, log: Logger, hasTaker: () => boolean) {
    Object.assign(this, parseOffer(offer));
    this.#log = log;
    this.#reporter = new JobReporter(this, messenger, log, { hasTaker, onStop: (error) => this.#stop(error) });
  }

  /** @internal */
  get reporter(): JobReporter {
    return this.#reporter;
  }

  /** The conversation, in the form of LangChain: objects with `type` and `content`. */
  get messages(): JsonObject[] {
    return (this.input["messages"] ?? []) as JsonObject[];
  }

  /** Aborted when the job is to stop. The reason is JobCancelled, JobLost, or another ClientError. */
  get signal(): AbortSignal {
    return this.#stopped.signal;
  }

  #stop(error: ClientError): void {
    this.#stopped.abort(error);
  }

  /** Accept the job, and wait until the server knows or the job is lost. */
  async begin(): Promise<void> {
    this.reporter.begin();
    await this.reporter.accepted.wait();
  }

  /**
   * Report a token (a string), or an event: `["custom", { done: 3 }]`. Waits while too much is unacknowledged.
   *
   * Throws the reason of `signal` when the job is to stop; TypeError, Refused, Closed.
   */
  async emit(event: JobEvent): Promise<void> {
    this.signal.throwIfAborted();
    const [name, data] = typeof event === "string" ? (["token", event] as const) : event;
    await this.reporter.emit(name, data);
  }

  /** End the job with a result, and wait until the server knows. Throws JobLost, Closed. */
  async finish(result?: unknown): Promise<void> {
    await this.#end(resultEnd(result));
  }

  /** End the job with an error, and wait until the server knows. Throws JobLost, Closed. */
  async fail(error: unknown): Promise<void> {
    await this.#end(exceptionEnd(error));
  }

  /**
   * End the job with questions. The answer comes as another job of the thread, in `resume`.
   *
   * Throws TypeError, JobLost, Closed.
   */
  async interrupt(values: readonly unknown[], ids?: readonly string[]): Promise<void> {
    await this.#end(interruptsEnd(values, ids));
  }

  /**
   * Give the job to another instance. A job that has begun is handed back, and retried if its policy allows.
   *
   * Throws JobLost, Closed.
   */
  async reject(reason: string): Promise<void> {
    await this.#end(handedBackEnd(reason));
  }

  async #end(end: JobEnd): Promise<void> {
    this.reporter.finish(end);
    await this.reporter.ended.wait();
  }

  /** Accept the job, do the work, and end the job. Throws nothing of the work: an error is that of the job. */
  async run(work: JobWork): Promise<void> {
    await this.begin();
    const end = this.signal.aborted ? resultEnd(undefined) : await this.#endOf(work);
    if (this.reporter.isOpen) this.reporter.finish(this.signal.reason instanceof JobCancelled ? cancelledEnd() : end);
    await this.reporter.ended.wait();
  }

  async #endOf(work: JobWork): Promise<JobEnd> {
    try {
      return resultEnd((await work(this)) ?? this.result);
    } catch (error) {
      if (!this.signal.aborted) this.#log.error(`job ${this.jobId} failed`, error);
      return exceptionEnd(error);
    }
  }
}
