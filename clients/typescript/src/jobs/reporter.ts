/** Reports one job to the server: its acceptance, its events, and its end. */
import { AsyncEvent } from "../connection/async-event.js";
import { type ClientError, Closed, JobCancelled, JobLost, Refused, unexpectedError } from "../errors.js";
import { joinItems, joinMembers, type JsonObject } from "../json.js";
import type { Logger } from "../logger.js";
import { now } from "../timing.js";
import { errorEnd, handedBackEnd, type JobEnd } from "./ends.js";
import type { JobMessenger } from "./messenger.js";
import { EventOutbox, MAX_BYTES } from "./outbox.js";
import type { JobRequest } from "./request.js";

export type JobEventName = "token" | "messages" | "values" | "updates" | "custom";
const EVENTS: readonly string[] = ["token", "messages", "values", "updates", "custom"];
/** Between two messages with events of one job. */
const COALESCE_SECONDS = 0.02;

export interface JobListener {
  /** Whether the program takes jobs. */
  hasTaker(): boolean;
  /** The program is to stop the job. */
  onStop(error: ClientError): void;
}

/** `run` sends until the server has acknowledged the end, or the job is lost. */
export class JobReporter {
  /** Set once the job was accepted, lost or has ended. */
  readonly accepted = new AsyncEvent();
  readonly ended = new AsyncEvent();
  readonly #outbox = new EventOutbox();
  readonly #begun = new AsyncEvent();
  /** Set when there may be something to send. */
  readonly #changed = new AsyncEvent();
  /** Set when events are to be sent without waiting for more. */
  readonly #urgent = new AsyncEvent();
  readonly #hasRoom = new AsyncEvent();
  #end: JobEnd | undefined;
  #lost: JobLost | undefined;
  #nextEventsAt = 0;

  constructor(
    private readonly job: JobRequest,
    private readonly messenger: JobMessenger,
    private readonly log: Logger,
    private readonly listener: JobListener,
  ) {}

  // Calls of the program

  /** Accept the offer now. */
  begin(): void {
    this.#begun.set();
  }

  /** Add an event; wait while the window is full. Throws TypeError for what is no event, Refused, JobLost, Closed. */
  async emit(event: string, data: unknown): Promise<void> {
    if (!EVENTS.includes(event)) throw new TypeError(`"${event}" is no event. Events: ${EVENTS.join(", ")}.`);
    const text = joinMembers({ event, data: data ?? null });
    if (text.bytes > MAX_BYTES) {
      const detail = `the event has ${text.bytes} bytes; the limit is ${MAX_BYTES}`;
      throw new Refused(detail, { reason: "too_large", field: "data" });
    }
    this.begin();
    while (this.#outbox.isFull && this.#lost === undefined) {
      this.#hasRoom.clear();
      await this.#hasRoom.wait();
    }
    this.#checkOpen();
    this.#outbox.append(text);
    this.#wake(this.#outbox.isFull);
  }

  /** End the job. Throws JobLost; Closed if it was ended before. */
  finish(end: JobEnd): void {
    this.#checkOpen();
    if (end.method === "job.reject") this.#outbox.drop();
    this.#end = end;
    this.begin();
    this.#wake(true);
  }

  /** Whether the job goes on, as far as this process knows. */
  get isOpen(): boolean {
    return this.#end === undefined && this.#lost === undefined && !this.ended.isSet;
  }

  #checkOpen(): void {
    if (this.#lost !== undefined) throw this.#lost;
    if (!this.isOpen) throw new Closed("The job has ended.");
  }

  // Messages of the server

  get reference(): JsonObject {
    return { job_id: this.job.jobId, attempt: this.job.attempt };
  }

  /** Go on under another epoch. */
  resume(appliedThrough: number): void {
    this.#outbox.acknowledge(appliedThrough);
    this.accepted.set();
    this.#hasRoom.set();
    this.#wake(true);
  }

  cancel(reason: string): void {
    if (this.#end === undefined) this.listener.onStop(new JobCancelled(reason));
  }

  /** Stop without ending the job: it has ended, or another instance has it. */
  lose(reason: string): void {
    if (this.#lost !== undefined || this.ended.isSet) return;
    this.#lost = new JobLost(reason);
    for (const event of [this.#begun, this.#hasRoom, this.accepted]) event.set();
    this.#wake(true);
    if (this.#end !== undefined) return;
    this.log.warn(`job ${this.job.jobId} was lost: ${reason}`);
    this.listener.onStop(this.#lost);
  }

  // Sending

  #wake(isUrgent: boolean): void {
    this.#changed.set();
    if (isUrgent) this.#urgent.set();
  }

  async run(): Promise<void> {
    try {
      await this.#answerOffer();
      while (this.isOpen || this.#outbox.length > 0) await this.#sendEvents();
      if (this.#end !== undefined) await this.#sendEnd(this.#end);
    } catch (error) {
      if (!(error instanceof JobLost)) this.log.warn(`job ${this.job.jobId} cannot be reported: ${error}`);
      this.lose(unexpectedError(error).message);
    } finally {
      for (const event of [this.ended, this.accepted, this.#hasRoom]) event.set();
    }
  }

  async #answerOffer(): Promise<void> {
    const hasBegun = await this.#begun.wait(this.job.acceptWithinSeconds / 2);
    if (!hasBegun && !this.listener.hasTaker()) this.finish(handedBackEnd("the program takes no jobs"));
    if (this.#end?.method === "job.reject") return;
    await this.#send("job.accept", {});
    this.accepted.set();
  }

  /** Send as many events as one message holds. Without any, wait for a change. */
  async #sendEvents(): Promise<void> {
    if (this.#outbox.length === 0) {
      this.#changed.clear();
      await this.#changed.wait();
      return;
    }
    await this.#coalesce();
    try {
      const result = await this.messenger.request("job.events", () => this.#nextEvents());
      this.#outbox.acknowledge(Number(result["applied_through"]));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#stopFor(error);
    }
    this.#hasRoom.set();
  }

  async #coalesce(): Promise<void> {
    const seconds = this.#nextEventsAt - now();
    if (seconds > 0) await this.#urgent.wait(seconds);
    this.#urgent.clear();
    this.#nextEventsAt = now() + COALESCE_SECONDS;
  }

  #nextEvents(): JsonObject {
    if (this.#lost !== undefined) throw this.#lost;
    const [first_seq, events] = this.#outbox.nextBatch();
    return { ...this.reference, first_seq, events: joinItems(events) };
  }

  /** The server does not take these events: the job fails. */
  #stopFor(refused: Refused): void {
    this.#outbox.drop();
    this.#end = errorEnd("invalid_event", refused.message);
    this.listener.onStop(refused);
  }

  async #sendEnd(end: JobEnd): Promise<void> {
    try {
      await this.#send(end.method, end.params);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.log.error(`the end of job ${this.job.jobId} was refused: ${error.message}`);
      await this.#send("job.finish", errorEnd("invalid_result", error.message).params);
    }
  }

  async #send(method: string, params: JsonObject): Promise<void> {
    await this.messenger.request(method, () => {
      if (this.#lost !== undefined) throw this.#lost;
      const through = method === "job.finish" ? { through_seq: this.#outbox.appliedThrough } : {};
      return { ...this.reference, ...through, ...params };
    });
  }
}
