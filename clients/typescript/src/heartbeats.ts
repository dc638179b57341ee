/** The heartbeats of an instance on one connection, and the registrations that become necessary there. */
import { AsyncEvent } from "./connection/async-event.js";
import { jitter } from "./connection/backoff.js";
import type { MessageChannel } from "./connection/message-channel.js";
import { Refused, Superseded } from "./errors.js";
import type { HeartbeatCallbacks } from "./heartbeat-callbacks.js";
import type { AssignedJobs } from "./jobs/assigned-jobs.js";
import type { JsonObject } from "./json.js";
import { isRegistrationGone, type Lease } from "./lease.js";
import type { Logger } from "./logger.js";

/** A heartbeat follows after 85 to 100 % of the interval that the server sets. */
const MIN_INTERVAL_FRACTION = 0.85;

export class Heartbeats {
  readonly #due = new AsyncEvent();
  #isStopped = false;

  constructor(
    readonly channel: MessageChannel,
    private readonly lease: Lease,
    private readonly callbacks: HeartbeatCallbacks,
    private readonly jobs: AssignedJobs,
    private readonly log: Logger,
  ) {}

  /** Send the next heartbeat now. */
  beatNow(): void {
    this.#due.set();
  }

  stop(): void {
    this.#isStopped = true;
    this.#due.set();
  }

  /** Send heartbeats until `stop`. Throws Disconnected; Superseded and other errors of a registration. */
  async run(): Promise<void> {
    let interval = this.lease.registration?.heartbeatIntervalSeconds ?? 0;
    for (;;) {
      await this.#due.wait(jitter(interval, MIN_INTERVAL_FRACTION * interval));
      if (this.#isStopped) return;
      this.#due.clear();
      if (this.lease.needsRegistration) await this.lease.register(this.channel);
      else interval = (await this.#send(await this.callbacks.read())) ?? interval;
    }
  }

  /** Returns the next interval in seconds. Undefined: it does not change. */
  async #send(values: JsonObject): Promise<number | undefined> {
    const { reference } = this.lease;
    try {
      const params = { ...reference, ...values, ...this.jobs.heartbeat() };
      const result = await this.channel.request("agent.heartbeat", params);
      if (this.lease.isCurrent(reference)) this.jobs.onHeartbeat(result);
      return Number(result["heartbeat_interval_seconds"]);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!this.lease.isCurrent(reference)) return undefined; // this instance registers again, on another connection
      return await this.#handleRefused(error, values);
    }
  }

  async #handleRefused(refused: Refused, values: JsonObject): Promise<number | undefined> {
    if (refused.reason === "superseded") throw new Superseded(refused.message);
    if (isRegistrationGone(refused)) {
      this.lease.needsRegistration = true;
      this.beatNow();
    } else if (refused.retryable) {
      this.log.warn(`a heartbeat failed: ${refused.message}`);
    } else {
      this.log.error(`a heartbeat was refused; sending it without health, load and metrics: ${refused.message}`);
      if (Object.keys(values).length > 0) return await this.#send({});
    }
    return undefined;
  }
}
