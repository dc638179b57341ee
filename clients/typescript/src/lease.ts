/**
 * The registration of an instance, over all its connections.
 *
 * Rules
 *   1. One registration at a time is in progress. It is repeated with the same idempotency key and values until an
 *      answer arrives, so a lost answer costs no epoch.
 *   2. After a broken connection the instance first asks whether its epoch is still current. If not, a newer process
 *      has taken over and this one ends (Superseded). Two processes never take turns.
 *   3. The instance remembers that it drains: after a broken connection it registers as one that drains.
 */
import { AsyncEvent } from "./connection/async-event.js";
import type { MessageChannel } from "./connection/message-channel.js";
import { Closed, Refused, Superseded } from "./errors.js";
import type { JsonObject } from "./json.js";
import type { Logger } from "./logger.js";
import { randomHex } from "./random.js";
import { type Registration, referenceTo, registrationFromResult } from "./registration.js";

export interface LeaseListener {
  /** Returns the params of a registration, without the idempotency key. */
  describe(): Promise<JsonObject>;
  /** Called with each answer, before any later message is read. */
  onRegistered(result: JsonObject): void;
  onDraining(): void;
}

export class Lease {
  registration: Registration | undefined;
  readonly draining = new AsyncEvent();
  /** Set unless a registration is in progress. */
  readonly settled = new AsyncEvent();
  needsRegistration = false;
  #drainReason: string | undefined;
  /** The params of a registration whose answer has not arrived. It is repeated word for word. */
  #unanswered: JsonObject | undefined;

  constructor(
    private readonly listener: LeaseListener,
    private readonly log: Logger,
  ) {
    this.settled.set();
  }

  /** The params by which a message refers to the registration. Throws Closed. */
  get reference(): JsonObject {
    if (this.registration === undefined) throw new Closed("The instance has not registered.");
    return referenceTo(this.registration);
  }

  /** Whether a message is about this registration and epoch, and no other registration is in progress. */
  isCurrent(params: JsonObject): boolean {
    return this.settled.isSet && this.registration !== undefined && matches(params, this.reference);
  }

  startDraining(reason: string): void {
    this.#drainReason ??= reason;
    this.draining.set();
    this.listener.onDraining();
  }

  /** Register on a new connection. Throws Superseded, and what `register` throws. */
  async resume(channel: MessageChannel): Promise<void> {
    if (this.registration !== undefined && this.#unanswered === undefined) {
      await this.#ensureNotSuperseded(channel, this.registration);
    }
    await this.register(channel);
  }

  async #ensureNotSuperseded(channel: MessageChannel, registration: Registration): Promise<void> {
    try {
      await channel.request("agent.heartbeat", this.reference);
    } catch (error) {
      if (error instanceof Refused && error.reason === "superseded") {
        throw new Superseded(`another process has registered as ${registration.instanceId}`);
      }
      if (!isRegistrationGone(error)) throw error;
    }
  }

  /** Throws ClientError, Disconnected. */
  async register(channel: MessageChannel): Promise<void> {
    this.settled.clear();
    this.#unanswered ??= {
      ...(await this.listener.describe()),
      idempotency_key: randomHex(16),
      ...(this.draining.isSet && { drain_reason: this.#drainReason ?? "draining" }),
    };
    const drains = "drain_reason" in this.#unanswered;
    try {
      await channel.request("agent.register", this.#unanswered, (result) => this.#accept(result));
    } catch (error) {
      if (error instanceof Refused && !error.retryable) {
        this.#unanswered = undefined;
        this.settled.set();
      }
      throw error;
    }
    if (this.draining.isSet && !drains) await this.drain(channel);
  }

  #accept(result: JsonObject): void {
    this.#unanswered = undefined;
    this.needsRegistration = false;
    this.registration = registrationFromResult(result);
    this.log.info(`registered as ${this.registration.registrationId}, epoch ${this.registration.epoch}`);
    this.settled.set();
    this.listener.onRegistered(result);
  }

  async drain(channel: MessageChannel): Promise<void> {
    await channel.request("agent.drain", { ...this.reference, reason: this.#drainReason ?? "draining" });
  }
}

/** Whether the instance must register again. */
export function isRegistrationGone(error: unknown): boolean {
  return error instanceof Refused && ["must_register", "not_found"].includes(error.reason);
}

function matches(params: JsonObject, reference: JsonObject): boolean {
  return Object.entries(reference).every(([name, value]) => params[name] === value);
}
