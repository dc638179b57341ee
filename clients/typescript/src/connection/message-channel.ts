/** Requests, responses and notifications over one WebSocket. */
import { platform } from "#platform";
import { ClientError, errorFromMessage, Refused } from "../errors.js";
import { joinMembers, type JsonObject, JsonText } from "../json.js";
import type { Logger } from "../logger.js";
import type { Socket, SocketTarget } from "../platform/types.js";
import type { Timing } from "../timing.js";
import { reasonOf } from "./address.js";
import { AsyncEvent } from "./async-event.js";
import { type CloseEvent, RetryConnection } from "./close-policy.js";

/** Of a message to the server, and of one about a job. The server closes the connection over a longer one. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_JOB_MESSAGE_BYTES = 1024 * 1024;

const [REQUEST, RESPONSE, NOTIFICATION, ERROR, PING] = [0, 1, 2, 3, 4];

export type NotificationCallback = (method: string, params: JsonObject) => void;
export type ResultCallback = (result: JsonObject) => void;

/** The WebSocket is closed or broken. */
export class Disconnected extends Error {}

interface PendingRequest {
  readonly resolve: (result: JsonObject) => void;
  readonly reject: (error: Error) => void;
  readonly onResult: ResultCallback | undefined;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Sends requests, and calls `onNotification` for each notification in order. */
export class MessageChannel {
  /** Set when the server announces a restart. */
  readonly restarting = new AsyncEvent();
  /** The end of the WebSocket. */
  readonly closed: Promise<CloseEvent>;
  readonly #onNotification: NotificationCallback;
  readonly #timing: Timing;
  readonly #log: Logger;
  readonly #pending = new Map<string, PendingRequest>();
  #socket: Socket | undefined;
  #nextId = 1;
  #reconnectAfter: number | undefined;
  #isClosed = false;
  #isAlive = true;
  #keepalive: ReturnType<typeof setInterval> | undefined;
  #resolveClosed!: (event: CloseEvent) => void;

  constructor(onNotification: NotificationCallback, timing: Timing, log: Logger) {
    this.#onNotification = onNotification;
    this.#timing = timing;
    this.#log = log;
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
  }

  /** The seconds that the server announced before a restart. */
  get reconnectAfter(): number | undefined {
    return this.#reconnectAfter;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Open the WebSocket. Throws ClientError where the handshake is refused for good, else RetryConnection. */
  open(target: SocketTarget): Promise<void> {
    return new Promise((resolve, reject) => {
      const onOpen = (): void => {
        this.#keepalive = setInterval(() => this.#checkAlive(), this.#timing.keepalive * 1000);
        resolve();
      };
      const onClose = (code: number | undefined, reason: string, error?: Error): void => {
        reject(errorForHandshake(target.url, error)); // without an effect once it is open
        this.#finish({ code, reason, reconnectAfter: this.#reconnectAfter });
      };
      const onMessage = (text: string): void => this.#receive(text);
      const events = { onOpen, onClose, onMessage, onAlive: () => (this.#isAlive = true) };
      try {
        this.#socket = platform.createSocket(target, events, this.#timing);
      } catch (error) {
        reject(new Refused(String(error), { reason: "url" }));
      }
    });
  }

  /**
   * Send a request and return its result. `onResult` is called with the result before any later message is read.
   *
   * Throws Refused, Forbidden, Unauthenticated, Disconnected. A WebSocket that does not answer in time is aborted.
   */
  request(method: string, params: JsonObject = {}, onResult?: ResultCallback): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed || this.#socket === undefined) throw new Disconnected();
      const id = String(this.#nextId++);
      const text = encode(method, id, params);
      const timer = setTimeout(() => this.#abortFor(`no answer to ${method}`), this.#timing.answer * 1000);
      this.#pending.set(id, { resolve, reject, onResult, timer });
      this.#socket.send(text);
    });
  }

  /** Close with the closing handshake. */
  async close(): Promise<void> {
    this.#socket?.close();
    await this.closed;
  }

  /** Drop the connection without the closing handshake. */
  abort(): void {
    if (this.#isClosed) return;
    this.#finish({ code: undefined, reason: "", reconnectAfter: this.#reconnectAfter });
    this.#socket?.abort();
  }

  #abortFor(reason: string): void {
    this.#log.warn(`${reason} in time; dropping the connection`);
    this.abort();
  }

  #finish(event: CloseEvent): void {
    this.#isClosed = true;
    clearInterval(this.#keepalive);
    for (const [id, request] of this.#pending) this.#take(id, request)?.reject(new Disconnected());
    this.#resolveClosed(event);
  }

  // A ping that nothing followed until the next one is due means that the connection is half open. The verdict waits
  // for one turn of the event loop: after a long task of the program, what has arrived is not read yet.
  #checkAlive(): void {
    if (this.#isAlive) {
      this.#isAlive = false;
      this.#ping();
      return;
    }
    setTimeout(() => {
      if (!this.#isAlive && !this.#isClosed) this.#abortFor("no answer to a ping");
    }, 0);
  }

  #ping(): void {
    if (this.#socket?.ping !== undefined) this.#socket.ping();
    // The server answers such a ping after the requests before it. Each of those has its own time limit.
    else if (this.#pending.size > 0) this.#isAlive = true;
    else this.#socket?.send(joinMembers({ type: PING, id: "ping" }).text);
  }

  #receive(text: string): void {
    this.#isAlive = true;
    if (this.#isClosed) return;
    try {
      this.#handle(JSON.parse(text) as JsonObject);
    } catch (error) {
      this.#log.error("the server sent an invalid message", error);
      this.abort();
    }
  }

  #handle(message: JsonObject): void {
    const type = message["type"];
    if (type === NOTIFICATION) this.#notify(String(message["method"]), (message["params"] ?? {}) as JsonObject);
    else if (type === RESPONSE || type === ERROR) this.#answer(message);
  }

  #notify(method: string, params: JsonObject): void {
    if (method === "server.restarting") {
      this.#reconnectAfter = Number(params["reconnect_after_seconds"] ?? 0);
      this.restarting.set();
    }
    this.#onNotification(method, params);
  }

  #answer(message: JsonObject): void {
    // When the server could not read a request's id, it means the oldest one: it answers in order.
    const id = message["id"] ?? (message["type"] === ERROR ? this.#pending.keys().next().value : undefined);
    const request = this.#take(String(id), this.#pending.get(String(id)));
    if (request === undefined) return;
    if (message["type"] === ERROR) return request.reject(errorFromMessage(message["error"] as JsonObject));
    const result = (message["result"] ?? {}) as JsonObject;
    request.onResult?.(result);
    request.resolve(result);
  }

  #take(id: string, request: PendingRequest | undefined): PendingRequest | undefined {
    clearTimeout(request?.timer);
    this.#pending.delete(id);
    return request;
  }
}

function encode(method: string, id: string, params: JsonObject): string {
  let message: JsonText;
  try {
    message = joinMembers({ type: REQUEST, id, method, params: joinMembers(params) });
  } catch (error) {
    throw new Refused(`${method}: ${(error as Error).message}`, { reason: "no_json" });
  }
  const limit = method.startsWith("job.") ? MAX_JOB_MESSAGE_BYTES : MAX_MESSAGE_BYTES;
  if (message.bytes <= limit) return message.text;
  const detail = `${method}: the message has ${message.bytes} bytes; the limit is ${limit}`;
  throw new Refused(detail, { reason: "too_large" });
}

function errorForHandshake(url: string, error: Error | undefined): Error {
  if (error instanceof RetryConnection || error instanceof ClientError) return error;
  return new RetryConnection(`${url} cannot be reached: ${reasonOf(error ?? "the connection was refused")}`);
}
