/**
 * A connection that reconnects: one WebSocket after another, until a final error.
 *
 *     connect → onConnected → available → lost
 *        ↑                                  │
 *        └────────────── delay ─────────────┘      ends with an error that retrying does not fix
 *
 * On each new WebSocket the listener goes first (`onConnected`, where an instance registers). After that, all requests
 * may use it. When the server announces a restart, the next WebSocket is opened at once, and the first one stays in use
 * until the next is available.
 */
import { platform } from "#platform";
import { ClientError, Closed, Refused, Unreachable, unexpectedError } from "../errors.js";
import type { JsonObject } from "../json.js";
import type { Logger } from "../logger.js";
import { now, TimeLimitExceeded, type Timing, within } from "../timing.js";
import type { ServerAddress } from "./address.js";
import { AsyncEvent } from "./async-event.js";
import { Backoff, jitter } from "./backoff.js";
import { type CloseEvent, CREDENTIALS, errorForClose, RetryConnection, TOO_MANY_SECONDS } from "./close-policy.js";
import type { Credentials } from "./credentials.js";
import { Disconnected, MessageChannel } from "./message-channel.js";

const RATE_LIMITED = 4002;
const CREDENTIALS_EXPIRING = "auth.expiring";
/** Final on the first connection only: later, a proxy may give these reasons while the server restarts. */
const PROXY_REFUSALS = ["handshake", "no_sockets_url", "no_server"];

/**
 * Called when a channel opens, gets a notification, and is lost.
 *
 * `onConnected` throws ClientError to end the connection for good; Disconnected or a retryable Refused to reconnect.
 */
export interface ConnectionListener {
  onConnected(channel: MessageChannel): Promise<void>;
  onNotification(method: string, params: JsonObject): void;
  onDisconnected(channel: MessageChannel): void;
}

/** Runs one MessageChannel at a time. `run` keeps it connected. */
export class ReconnectingConnection {
  readonly #backoff: Backoff;
  /** Set while there is a channel, and once there is a final error. */
  readonly #isSettled = new AsyncEvent();
  readonly #hasFailed = new AsyncEvent();
  /** All that are not closed: the one in use, its successor, and those that it replaced. */
  readonly #channels = new Set<MessageChannel>();
  #channel: MessageChannel | undefined;
  #finalError: ClientError | undefined;
  #lastFailure = "no attempt was made";
  #wasConnected = false;

  constructor(
    private readonly address: ServerAddress,
    private readonly credentials: Credentials,
    private readonly timing: Timing,
    private readonly log: Logger,
    private readonly listener: ConnectionListener,
  ) {
    this.#backoff = new Backoff(timing.backoffFirst, timing.backoffMost);
  }

  // Use of the connection

  /** Wait for the first channel. Throws Unreachable, and the final error. */
  async firstChannel(): Promise<void> {
    await this.#within(this.timing.ready, this.channel(), "not connected");
  }

  get finalError(): ClientError | undefined {
    return this.#finalError;
  }

  get currentChannel(): MessageChannel | undefined {
    return this.#channel;
  }

  /** Wait for a channel. Throws the final error. */
  async channel(): Promise<MessageChannel> {
    while (this.#channel === undefined) {
      if (this.#finalError !== undefined) throw this.#finalError;
      await this.#isSettled.wait();
    }
    return this.#channel;
  }

  /**
   * Send a request, and send it again when the connection breaks before the answer: it must be idempotent.
   *
   * Throws Refused, Forbidden, Unauthenticated, Unreachable, and the final error.
   */
  async request(method: string, params: JsonObject | (() => JsonObject) = {}): Promise<JsonObject> {
    const deadline = now() + this.timing.patience;
    const within = <T>(promise: Promise<T>): Promise<T> => this.#within(deadline - now(), promise, method);
    for (;;) {
      const channel = await within(this.channel());
      try {
        return await within(channel.request(method, typeof params === "function" ? params() : params));
      } catch (error) {
        if (!(error instanceof Disconnected)) throw error;
        this.discard(channel);
      }
    }
  }

  async #within<T>(seconds: number, promise: Promise<T>, subject: string): Promise<T> {
    try {
      return await within(seconds, promise);
    } catch (error) {
      if (!(error instanceof TimeLimitExceeded)) throw error;
      throw new Unreachable(`${subject}: ${error.message}; last failure: ${this.#lastFailure}`);
    }
  }

  /** Close with the closing handshake, for good. */
  async close(): Promise<void> {
    this.#end(new Closed("the connection was closed"));
    await this.#channel?.close();
  }

  /** Stop using a channel that is broken. */
  discard(channel: MessageChannel): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    if (this.#finalError === undefined) this.#isSettled.clear();
    this.listener.onDisconnected(channel);
  }

  /** End the connection for good. The first error given is the final one. */
  fail(error: ClientError): void {
    this.#end(error);
    if (this.#channel !== undefined) this.discard(this.#channel);
    for (const channel of this.#channels) channel.abort();
  }

  #end(error: ClientError): void {
    this.#finalError ??= error;
    this.#hasFailed.set();
    this.#isSettled.set();
  }

  // Keeping it connected

  /** Keep connected until there is a final error, which is returned. */
  async run(): Promise<ClientError> {
    try {
      while (this.#finalError === undefined) await this.#waitToReconnect(await this.#runChannel());
    } catch (error) {
      this.fail(unexpectedError(error)); // also of `token`
    }
    return this.#finalError as ClientError;
  }

  async #waitToReconnect(retry: RetryConnection): Promise<void> {
    this.#lastFailure = retry.message;
    const seconds = retry.minDelay + (retry.spread === undefined ? this.#backoff.nextDelay() : jitter(retry.spread));
    if (this.#finalError === undefined) {
      this.log.info(`disconnected: ${retry.message}; reconnecting in ${seconds.toFixed(1)} s`);
    }
    await this.#hasFailed.wait(seconds);
  }

  /** Connect, and use the channel until it is lost or is to be replaced. Returns when to connect again, or throws what is final. */
  async #runChannel(): Promise<RetryConnection> {
    const channel = new MessageChannel((...of) => this.#onNotification(channel, ...of), this.timing, this.log);
    let availableAt = Infinity;
    try {
      await this.#open(channel);
      await this.#makeAvailable(channel);
      availableAt = now();
      await Promise.race([channel.closed, channel.restarting.wait()]);
    } catch (error) {
      channel.abort();
      if (!(error instanceof Disconnected)) return this.#retryFor(error);
    }
    if (now() - availableAt > this.timing.steady) this.#backoff.reset();
    if (!channel.isClosed) return retryForRestart(channel.reconnectAfter);
    return this.#retryAfter(await channel.closed, availableAt < Infinity);
  }

  async #open(channel: MessageChannel): Promise<void> {
    const target = await platform.resolveTarget(this.address, this.credentials);
    this.#channels.add(channel);
    void channel.closed.then(() => {
      this.#channels.delete(channel);
      this.discard(channel);
    });
    if (this.#finalError !== undefined) throw this.#finalError;
    await channel.open(target);
    const auth = target.isAuthenticated ? undefined : await this.credentials.authParams();
    if (auth !== undefined) await channel.request("auth", auth);
  }

  async #makeAvailable(channel: MessageChannel): Promise<void> {
    await this.listener.onConnected(channel);
    if (this.#finalError !== undefined || channel.isClosed) throw new Disconnected();
    const replaced = this.#channel;
    this.#channel = channel;
    this.#wasConnected = true;
    this.#isSettled.set();
    if (replaced === undefined) return;
    this.listener.onDisconnected(replaced);
    void replaced.close();
  }

  /** Returns when to connect again after a channel that did not become available. Throws `error` if it is final. */
  #retryFor(error: unknown): RetryConnection {
    if (error instanceof RetryConnection) {
      this.address.forget();
      return error;
    }
    if (!(error instanceof Refused)) throw error;
    if (error.retryable) {
      return new RetryConnection(error.message, { minDelay: error.code === RATE_LIMITED ? TOO_MANY_SECONDS : 0 });
    }
    if (!this.#wasConnected || !PROXY_REFUSALS.includes(error.reason)) throw error;
    return new RetryConnection(error.message);
  }

  #retryAfter(event: CloseEvent, wasAvailable: boolean): RetryConnection {
    if (event.code === CREDENTIALS && wasAvailable && this.credentials.canRefresh) {
      return new RetryConnection(event.reason, { spread: 1 }); // the token expired; the next connection gets a new one
    }
    const error = errorForClose(event);
    if (error instanceof RetryConnection) return error;
    throw error;
  }

  #onNotification(channel: MessageChannel, method: string, params: JsonObject): void {
    if (method === CREDENTIALS_EXPIRING && this.credentials.canRefresh) void this.#renewCredentials(channel);
    this.listener.onNotification(method, params);
  }

  // After a failure the connection lasts until the old credentials expire. The next one asks for new ones.
  async #renewCredentials(channel: MessageChannel): Promise<void> {
    try {
      await channel.request("auth", await this.credentials.authParams());
    } catch (error) {
      if (error instanceof ClientError || error instanceof Disconnected) {
        this.log.warn(`the server did not accept the renewed credentials: ${error.message || "disconnected"}`);
      } else {
        this.log.error("token() failed; the current credentials expire soon", error);
      }
    }
  }
}

/** Connect in less than the time that is left: the server closes up to a second before `reconnectAfter`. */
function retryForRestart(reconnectAfter = 0): RetryConnection {
  return new RetryConnection("the server restarts", { spread: Math.max(0, reconnectAfter - 1) });
}
