/** The jobs that an instance has: those that are offered to it, and those that it works on. */
import { AsyncEvent } from "../connection/async-event.js";
import type { ClientError } from "../errors.js";
import type { JsonObject } from "../json.js";
import type { Lease } from "../lease.js";
import type { Logger } from "../logger.js";
import { cancelledEnd, handedBackEnd } from "./ends.js";
import { Job } from "./job.js";
import type { JobMessenger } from "./messenger.js";

/** Jobs that fit into a heartbeat. Three heartbeats fit into the lease of a job. */
const MOST_NAMED = 400;

export class AssignedJobs {
  readonly #jobs = new Map<string, Job>();
  readonly #changed = new AsyncEvent();
  #waiting: Job[] = [];
  /** Notifications that came before the answer to the registration that they are about. */
  #early: [method: string, params: JsonObject][] = [];
  #named = 0;
  #isTaking = true;
  #hasTaker = false;
  #finalError: ClientError | undefined;

  /** `slots`: how many jobs the instance takes at a time; undefined: no jobs. */
  constructor(
    private readonly slots: number | undefined,
    private readonly lease: Lease,
    private readonly messenger: JobMessenger,
    private readonly log: Logger,
  ) {}

  // Calls of the program

  /** Wait for a job. Undefined: no more will come. Throws the final error of the instance. */
  async take(): Promise<Job | undefined> {
    this.#hasTaker = true;
    while (this.#waiting.length === 0) {
      if (this.#finalError !== undefined) throw this.#finalError;
      if (!this.#isTaking) return undefined;
      this.#changed.clear();
      await this.#changed.wait();
    }
    return this.#waiting.shift();
  }

  /** Reject further offers. */
  stopTaking(): void {
    this.#isTaking = false;
    this.#changed.set();
  }

  /** Wait until the ends that the program reported have reached the server. */
  async flush(): Promise<void> {
    const ending = [...this.#jobs.values()].filter((job) => !job.reporter.isOpen);
    await Promise.all(ending.map((job) => job.reporter.ended.wait()));
  }

  /** Give up all jobs. */
  stop(error: ClientError): void {
    this.#finalError ??= error;
    this.stopTaking();
    for (const job of this.#jobs.values()) job.reporter.lose(error.message);
  }

  // Params of the instance's own messages

  registration(): JsonObject {
    return this.slots === undefined ? {} : { slots: this.slots, jobs: [...this.#jobs.keys()] };
  }

  /** Name the running jobs; when there are many, some with each heartbeat. */
  heartbeat(): JsonObject {
    const running = [...this.#jobs.values()].filter((job) => job.reporter.accepted.isSet);
    if (this.#named >= running.length) this.#named = 0;
    const named = running.slice(this.#named, (this.#named += MOST_NAMED));
    return named.length > 0 ? { jobs: named.map((job) => job.reporter.reference) } : {};
  }

  // Messages of the server

  /** Rule 4. */
  onRegistered(result: JsonObject): void {
    const continued = (result["jobs"] ?? []) as JsonObject[];
    for (const job of [...this.#jobs.values()]) {
      const found = continued.find((each) => each["job_id"] === job.jobId && each["attempt"] === job.attempt);
      if (found === undefined) job.reporter.lose("it did not go on when the instance registered again");
      else {
        job.reporter.resume(Number(found["applied_through"]));
        if (found["cancel"]) this.#cancel(job, "cancelled");
      }
    }
    for (const [method, params] of this.#early.splice(0)) this.onNotification(method, params);
  }

  onHeartbeat(result: JsonObject): void {
    for (const each of (result["jobs"] ?? []) as JsonObject[]) {
      const job = this.#find(each);
      if (each["outcome"] === "fenced") job?.reporter.lose("a heartbeat was fenced");
      else if (each["cancel"] && job !== undefined) this.#cancel(job, "cancelled");
    }
  }

  onNotification(method: string, params: JsonObject): void {
    if (!["job.offer", "job.cancel", "job.lost"].includes(method)) return;
    if (!this.lease.settled.isSet) this.#early.push([method, params]);
    else if (this.lease.isCurrent(params)) this.#handle(method, params);
  }

  #handle(method: string, params: JsonObject): void {
    if (method === "job.offer") return this.#onOffer(params["job"] as JsonObject);
    const [job, reason] = [this.#find(params), params["reason"]];
    if (job === undefined) return;
    if (method === "job.cancel") this.#cancel(job, String(reason ?? "cancelled"));
    else job.reporter.lose(String(reason ?? "the server gave it to another instance"));
  }

  #onOffer(offer: JsonObject): void {
    const job = new Job(offer, this.messenger, this.log, () => this.#hasTaker);
    const known = this.#jobs.get(job.jobId);
    if (known?.attempt === job.attempt) return;
    known?.reporter.lose("it was offered again");
    this.#jobs.set(job.jobId, job);
    void job.reporter.run().then(() => this.#forget(job));
    if (this.#isTaking) {
      this.#waiting.push(job);
      this.#changed.set();
    } else job.reporter.finish(handedBackEnd("the instance drains"));
  }

  #forget(job: Job): void {
    this.#waiting = this.#waiting.filter((each) => each !== job);
    if (this.#jobs.get(job.jobId) === job) this.#jobs.delete(job.jobId);
  }

  #cancel(job: Job, reason: string): void {
    if (!this.#waiting.includes(job)) return job.reporter.cancel(reason);
    this.#waiting = this.#waiting.filter((each) => each !== job);
    job.reporter.finish(cancelledEnd());
  }

  #find(params: JsonObject): Job | undefined {
    const job = this.#jobs.get(String(params["job_id"]));
    return job?.attempt === params["attempt"] ? job : undefined;
  }
}
