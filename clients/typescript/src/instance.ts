/** An agent instance: it registers, renews its lease with heartbeats, works on jobs, and deregisters. */
import { platform } from "#platform";
import { Client, type ClientOptions } from "./client.js";
import { Disconnected, type MessageChannel } from "./connection/message-channel.js";
import { ClientError, Closed, Refused, Superseded, unexpectedError } from "./errors.js";
import { type HeartbeatCallbackOptions, HeartbeatCallbacks } from "./heartbeat-callbacks.js";
import { Heartbeats } from "./heartbeats.js";
import { type InstanceRecord, instanceFromJson } from "./instance-record.js";
import { AssignedJobs } from "./jobs/assigned-jobs.js";
import type { Job } from "./jobs/job.js";
import { JobMessenger } from "./jobs/messenger.js";
import { type JobHandler, serveJobs } from "./jobs/serving.js";
import { type JsonObject, toParams } from "./json.js";
import { Lease } from "./lease.js";
import type { ClaimedInstanceId } from "./platform/types.js";
import type { Registration, State } from "./registration.js";

/** The part of an instance that others see. Members that are left out keep the value of an earlier registration. */
export interface InstanceDescription {
  name?: string;
  capabilities?: readonly string[];
  tags?: readonly string[];
  zone?: string;
  version?: string;
  runtimeConfig?: object;
  connectionDetails?: object;
}

export interface AgentInstanceOptions extends ClientOptions, InstanceDescription, HeartbeatCallbackOptions {
  agentType?: string;
  /** Identifies the process over restarts. Default: see `platform/`. */
  instanceId?: string;
  /** How many jobs the instance works on at a time. Default: it takes no jobs. */
  slots?: number;
  /** The first SIGTERM drains, see `untilDraining`. Not in browsers. */
  drainOnSigterm?: boolean;
}

const UPDATABLE = ["name", "capabilities", "tags", "zone", "version", "runtimeConfig", "connectionDetails"] as const;
const DESCRIPTION = [...UPDATABLE, "agentType"] as const;

/**
 * `open` registers the instance, which then stays registered until `close`.
 *
 * Ends with what ends a Client, and with Superseded when a newer process has registered under the same instanceId.
 */
export class AgentInstance extends Client {
  readonly agentId: string;
  readonly #options: AgentInstanceOptions;
  readonly #callbacks: HeartbeatCallbacks;
  readonly #lease: Lease;
  readonly #jobs: AssignedJobs;
  #description: JsonObject;
  #claimed: ClaimedInstanceId | undefined;
  #heartbeats: Heartbeats | undefined;
  #draining: Promise<void> | undefined;
  #finalState: State | undefined;
  #stopListening: () => void = () => undefined;

  constructor(agentId: string, options: AgentInstanceOptions = {}) {
    super(options);
    this.agentId = agentId;
    this.#options = options;
    const given = DESCRIPTION.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]);
    this.#description = toParams(Object.fromEntries(given), DESCRIPTION);
    this.#callbacks = new HeartbeatCallbacks(options, this.log);
    this.#lease = new Lease(
      {
        describe: () => this.#describe(),
        onRegistered: (result) => this.#jobs.onRegistered(result),
        onDraining: () => this.#jobs.stopTaking(),
      },
      this.log,
    );
    const messenger = new JobMessenger(
      () => this.connection,
      this.#lease,
      () => this.beatNow(),
    );
    this.#jobs = new AssignedJobs(options.slots, this.#lease, messenger, this.log);
  }

  /** Throws Closed before `open` when no instanceId was given. */
  get instanceId(): string {
    const instanceId = this.#options.instanceId ?? this.#claimed?.instanceId;
    if (instanceId === undefined) throw new Closed("The instanceId is not known yet. Call open() first.");
    return instanceId;
  }

  get registration(): Registration | undefined {
    return this.#lease.registration;
  }

  get registrationId(): string | undefined {
    return this.registration?.registrationId;
  }

  get epoch(): number | undefined {
    return this.registration?.epoch;
  }

  get state(): State {
    if (this.#finalState !== undefined) return this.#finalState;
    if (this.#lease.draining.isSet) return "draining";
    if (this.registration === undefined) return "connecting";
    return this.connection.currentChannel === undefined ? "reconnecting" : "active";
  }

  /**
   * Change the description of the instance, also for later registrations.
   *
   * Returns the instance after the change. Throws TypeError, Refused, Forbidden, Unreachable.
   */
  async update(changes: InstanceDescription): Promise<InstanceRecord> {
    const params = toParams(changes, UPDATABLE);
    const instance = await this.connection.request("agent.update", () => ({ ...this.#lease.reference, ...params }));
    this.#description = { ...this.#description, ...params };
    return instanceFromJson(instance);
  }

  /** Leave discovery for good, to finish running work and take no more. Throws Refused, Forbidden, Unreachable. */
  async drain(reason = "draining"): Promise<void> {
    const { connection } = this;
    this.#lease.startDraining(reason);
    try {
      await connection.request("agent.drain", () => ({ ...this.#lease.reference, reason }));
    } catch (error) {
      if (!(error instanceof Refused) || error.reason !== "must_register") throw error;
      this.#requestRegistration(); // which drains
    }
  }

  /**
   * Wait for `drain`, for SIGTERM with `drainOnSigterm`, or until the server orders to drain.
   *
   * Throws the error that ends the instance.
   */
  async untilDraining(): Promise<void> {
    await Promise.race([this.#lease.draining.wait(), rejectionOf(this.signal)]);
  }

  /** Send the next heartbeat now, because health or load have changed. */
  beatNow(): void {
    this.#heartbeats?.beatNow();
  }

  // Jobs

  /**
   * Yield jobs, until the instance drains. Several loops may iterate at the same time.
   *
   * Throws TypeError without `slots`, and the final error of the instance.
   */
  async *jobs(): AsyncGenerator<Job, void> {
    if (!this.#options.slots) throw new TypeError("The instance takes no jobs. Pass slots: the number at a time.");
    for (let job = await this.#jobs.take(); job !== undefined; job = await this.#jobs.take()) yield job;
  }

  /** Give each job to `handler`, until the instance drains and all jobs have ended. Throws what `jobs` throws. */
  async serve(handler: JobHandler): Promise<void> {
    await serveJobs(this.jobs(), handler);
  }

  // Opening and closing

  override async open(): Promise<this> {
    this.ensureNew();
    try {
      if (this.#options.drainOnSigterm) this.#stopListening = platform.onFirstSigterm(() => this.#onSigterm());
      if (this.#options.instanceId === undefined) this.#claimed ??= await platform.claimInstanceId(this.agentId);
      return await super.open();
    } catch (error) {
      this.#release("failed");
      throw error;
    }
  }

  override async close(): Promise<void> {
    this.#jobs.stopTaking();
    await this.withinLeave(this.#draining); // watchers see `draining` before `deregistered`
    await this.withinLeave(this.#jobs.flush());
    this.#heartbeats?.stop();
    if (this.registration !== undefined) await this.#deregister();
    await super.close();
    this.#release("closed");
  }

  async #deregister(): Promise<void> {
    const channel = this.connection.currentChannel;
    const params = { ...this.#lease.reference, reason: "done" };
    const failure = await this.withinLeave(channel?.request("agent.deregister", params));
    if (failure !== undefined) this.log.warn(`could not deregister; the lease will expire: ${failure.message}`);
  }

  #release(finalState: State): void {
    this.#finalState ??= finalState;
    this.#stopListening();
    this.#jobs.stop(new Closed("the instance was closed"));
    this.#heartbeats?.stop();
    this.#claimed?.release();
  }

  #onSigterm(): void {
    this.log.info("SIGTERM: draining");
    this.#lease.startDraining("SIGTERM");
    if (this.registration === undefined) {
      // there is nothing to drain, and the server may never answer
      this.connection.fail(new Closed("SIGTERM arrived before the instance was registered"));
      return;
    }
    this.#draining = this.drain("SIGTERM").catch((error: unknown) => {
      this.log.warn(`could not tell the server that this instance drains: ${(error as Error).message}`);
    });
  }

  // The connection's listener

  /** @internal */
  protected override async onConnected(channel: MessageChannel): Promise<void> {
    await this.#lease.resume(channel);
    this.#heartbeats?.stop();
    const heartbeats = new Heartbeats(channel, this.#lease, this.#callbacks, this.#jobs, this.log);
    this.#heartbeats = heartbeats;
    void heartbeats.run().catch((error: unknown) => this.#onHeartbeatError(channel, error));
  }

  #onHeartbeatError(channel: MessageChannel, error: unknown): void {
    if (error instanceof Disconnected) this.connection.discard(channel);
    else if (error instanceof Refused && error.retryable)
      channel.abort(); // a registration: retried on a new connection
    else this.connection.fail(unexpectedError(error));
  }

  /** @internal */
  protected override onDisconnected(channel: MessageChannel): void {
    if (this.#heartbeats?.channel === channel) this.#heartbeats.stop();
    super.onDisconnected(channel);
  }

  /** @internal */
  protected override onNotification(method: string, params: JsonObject): void {
    super.onNotification(method, params);
    this.#jobs.onNotification(method, params);
    if (!this.#lease.isCurrent(params)) return;
    if (method === "agent.superseded") this.connection.fail(new Superseded(String(params["message"])));
    else if (method === "agent.lease_lost") this.#requestRegistration();
    else if (method === "agent.lapsed") this.beatNow();
    else if (method === "agent.draining") this.#lease.startDraining(String(params["reason"] ?? params["message"]));
  }

  /** @internal */
  protected override onFinalError(error: ClientError): void {
    this.#finalState = "failed";
    this.#jobs.stop(error);
    this.log.error(`instance ${this.instanceId} of agent ${this.agentId} failed: ${error.message}`);
  }

  #requestRegistration(): void {
    this.#lease.needsRegistration = true;
    this.beatNow();
  }

  async #describe(): Promise<JsonObject> {
    const { agentId: agent_id, instanceId: instance_id } = this;
    const health = await this.#callbacks.readHealth();
    return { agent_id, instance_id, ...this.#description, ...this.#jobs.registration(), health };
  }
}

/** A promise that is rejected with the reason of the signal. */
function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
