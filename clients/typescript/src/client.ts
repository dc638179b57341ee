/// <reference lib="esnext.disposable" preserve="true" />
/** Find and watch instances. A Client registers nothing itself; `instance.ts` does. */
import { platform } from "#platform";
import { ServerAddress } from "./connection/address.js";
import { type CredentialOptions, Credentials } from "./connection/credentials.js";
import type { MessageChannel } from "./connection/message-channel.js";
import { ReconnectingConnection } from "./connection/reconnecting-connection.js";
import { type ClientError, Closed } from "./errors.js";
import type { AgentEvent } from "./events.js";
import { type InstanceRecord, instanceFromJson } from "./instance-record.js";
import { type JsonObject, toParams } from "./json.js";
import { DEFAULT_LOGGER, type Logger } from "./logger.js";
import { iterateInstances } from "./pagination.js";
import { DEFAULT_TIMING, type Timing, within } from "./timing.js";
import { Watcher } from "./watcher.js";

export interface ClientOptions extends CredentialOptions {
  /**
   * The server (`https://…`, which is asked for its WebSocket URL) or the WebSocket URL (`wss://…`). Default:
   * AGENTHALL_URL, else `http://127.0.0.1:2024`; in a browser the origin of the page.
   */
  url?: string;
  timing?: Partial<Timing>;
  /** Default: warnings and errors go to the console. */
  logger?: Logger;
}

/** An instance has all `capabilities` and all `tags`. */
export interface WatchFilters {
  agentId?: string;
  capabilities?: readonly string[];
  tags?: readonly string[];
  zone?: string;
}

export interface DiscoverFilters extends WatchFilters {
  health?: InstanceRecord["healthStatus"];
  /** A range: `>=1.2,<2`. */
  version?: string;
  /** At least so many. */
  freeSlots?: number;
}

export interface ListFilters extends DiscoverFilters {
  /** Default: active. */
  status?: InstanceRecord["registrationStatus"];
}

export interface WatchOptions extends WatchFilters {
  /** The position of an event that was seen before. The existing instances are not listed then. */
  after?: number;
  /** Whether the existing instances come first. Default: true. */
  listed?: boolean;
}

const WATCH_FILTERS = ["agentId", "capabilities", "tags", "zone"];
const DISCOVER_FILTERS = [...WATCH_FILTERS, "health", "version", "freeSlots"];
const LIST_FILTERS = [...DISCOVER_FILTERS, "status"];

/**
 * A connection to the registry. `open` connects, and the client reconnects until `close`.
 *
 * Errors that reconnecting does not fix end it: methods then throw the error, and `signal` is aborted with it.
 */
export class Client implements AsyncDisposable {
  /** @internal */
  protected readonly timing: Timing;
  /** @internal */
  protected readonly log: Logger;
  readonly #address: ServerAddress;
  readonly #credentials: Credentials;
  readonly #ended = new AbortController();
  #connection: ReconnectingConnection | undefined;
  #watcher: Watcher | undefined;
  #running: Promise<ClientError> | undefined;
  #isOpen = false;

  constructor(options: ClientOptions = {}) {
    this.timing = { ...DEFAULT_TIMING, ...options.timing };
    this.log = options.logger ?? DEFAULT_LOGGER;
    const url = options.url || platform.environment("AGENTHALL_URL") || platform.defaultUrl;
    this.#address = new ServerAddress(url, this.timing.answer);
    this.#credentials = new Credentials(options, platform.environment);
  }

  /** Aborted when the client ends. The reason is the final error, or Closed after `close`. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** @internal */
  protected get connection(): ReconnectingConnection {
    if (this.#connection === undefined) throw new Closed("The client is not connected. Call open() first.");
    return this.#connection;
  }

  /** Connect. Throws Unauthenticated, Forbidden, Refused or Unreachable. */
  async open(): Promise<this> {
    this.ensureNew();
    const connection = new ReconnectingConnection(this.#address, this.#credentials, this.timing, this.log, {
      onConnected: (channel) => this.onConnected(channel),
      onNotification: (method, params) => this.onNotification(method, params),
      onDisconnected: (channel) => this.onDisconnected(channel),
    });
    this.#connection = connection;
    this.#watcher = new Watcher(connection);
    this.#running = connection.run().finally(() => this.#onEnd(connection));
    try {
      await connection.firstChannel();
    } catch (error) {
      connection.fail(new Closed("the client could not connect"));
      throw error;
    }
    this.#isOpen = true;
    return this;
  }

  /** @internal */
  protected ensureNew(): void {
    if (this.#connection !== undefined) throw new Closed("The client was opened before. Create a new one.");
  }

  #onEnd(connection: ReconnectingConnection): void {
    const error = connection.finalError as ClientError;
    if (this.#isOpen && !(error instanceof Closed)) this.onFinalError(error);
    this.#ended.abort(error);
  }

  /** Disconnect for good. */
  async close(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    await this.withinLeave(connection.close());
    connection.fail(new Closed("the client was closed"));
    await this.withinLeave(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Wait for a step of closing, and go on after a time limit or an error.
   * @internal
   */
  protected async withinLeave(step: Promise<unknown> | undefined): Promise<Error | undefined> {
    return await within(this.timing.leave, Promise.resolve(step)).then(
      () => undefined,
      (error: Error) => error,
    );
  }

  /**
   * Return all instances that can take work now and match all that is given. `capability` is one more capability.
   *
   * Throws Refused, Forbidden, Unreachable.
   */
  async discover(capability?: string, filters: DiscoverFilters = {}): Promise<InstanceRecord[]> {
    return await this.#read("agent.discover", toParams(withCapability(capability, filters), DISCOVER_FILTERS));
  }

  /** Return all instances of one `status`, with the filters of `discover`. */
  async list(capability?: string, filters: ListFilters = {}): Promise<InstanceRecord[]> {
    return await this.#read("agent.list", {
      status: "active",
      ...toParams(withCapability(capability, filters), LIST_FILTERS),
    });
  }

  async #read(method: string, params: JsonObject): Promise<InstanceRecord[]> {
    const instances: InstanceRecord[] = [];
    for await (const each of iterateInstances(this.connection, method, params)) instances.push(instanceFromJson(each));
    return instances;
  }

  /** Return one instance. Throws Refused (reason not_found), Forbidden, Unreachable. */
  async status(registrationId: string): Promise<InstanceRecord> {
    return instanceFromJson(await this.connection.request("agent.status", { registration_id: registrationId }));
  }

  /**
   * Yield changes of the organization's instances, in order and without gaps over reconnections.
   *
   * The existing instances come first, as `listed` events. Ends when the client is closed. Throws Refused, Forbidden,
   * and the final error of the connection.
   */
  watch({ after, listed = true, ...filters }: WatchOptions = {}): AsyncGenerator<AgentEvent, void> {
    void this.connection;
    return (this.#watcher as Watcher).watch(toParams(filters, WATCH_FILTERS), after, listed);
  }

  // The connection's listener

  /** @internal */
  protected async onConnected(channel: MessageChannel): Promise<void> {
    await channel.request("ping");
  }

  /** @internal */
  protected onNotification(method: string, params: JsonObject): void {
    this.#watcher?.onNotification(method, params);
  }

  /** @internal */
  protected onDisconnected(channel: MessageChannel): void {
    this.#watcher?.onDisconnected(channel);
  }

  /** @internal */
  protected onFinalError(error: ClientError): void {
    this.log.error(`the client failed: ${error.message}`);
  }
}

function withCapability<T extends WatchFilters>(capability: string | undefined, filters: T): T {
  if (capability === undefined) return filters;
  return { ...filters, capabilities: [capability, ...(filters.capabilities ?? [])] };
}
