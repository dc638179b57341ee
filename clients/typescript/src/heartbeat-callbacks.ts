/** The program's callbacks that each heartbeat reads: health, load and metrics. */
import type { JsonObject } from "./json.js";
import type { Logger } from "./logger.js";

export type Health = "starting" | "healthy" | "degraded" | "unhealthy";

/** They are called for every heartbeat, and must not block. */
export interface HeartbeatCallbackOptions {
  /** When it throws, the instance reports `unhealthy`. */
  health?: () => Health | Promise<Health>;
  /** `workload` is the number of running tasks. When it throws, the heartbeat is sent without it. */
  load?: () => object | Promise<object>;
  metrics?: () => object | Promise<object>;
}

export class HeartbeatCallbacks {
  constructor(
    private readonly callbacks: HeartbeatCallbackOptions,
    private readonly log: Logger,
  ) {}

  /** `healthy` without a callback. */
  async readHealth(): Promise<Health> {
    try {
      return this.callbacks.health === undefined ? "healthy" : await this.callbacks.health();
    } catch (error) {
      this.log.error("health() failed; the instance reports unhealthy", error);
      return "unhealthy";
    }
  }

  /** The params of a heartbeat. */
  async read(): Promise<JsonObject> {
    const [load, metrics] = [await this.#readValues("load"), await this.#readValues("metrics")];
    return { health: await this.readHealth(), ...load, ...metrics };
  }

  async #readValues(name: "load" | "metrics"): Promise<JsonObject> {
    const callback = this.callbacks[name];
    try {
      return callback === undefined ? {} : { [name]: await callback() };
    } catch (error) {
      // The server keeps the last values that it received.
      this.log.error(`${name}() failed; this heartbeat is sent without it`, error);
      return {};
    }
  }
}
