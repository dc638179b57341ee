/**
 * Watch the change feed over reconnections, complete and in order.
 *
 * List, then watch: the watch begins before the list is read, so no change falls between the two. After a broken
 * connection the watch resumes behind the last event that was delivered. When the server no longer keeps the missed
 * events, the watcher yields `reset` and lists again.
 *
 * At most MAX_BUFFERED events wait in memory for a slow consumer. The watch resumes when it has consumed those.
 */
import { AsyncEvent } from "./connection/async-event.js";
import { Backoff } from "./connection/backoff.js";
import { Disconnected, type MessageChannel } from "./connection/message-channel.js";
import type { ReconnectingConnection } from "./connection/reconnecting-connection.js";
import { Closed, Refused, Unreachable } from "./errors.js";
import { type AgentEvent, eventFromParams, listedEvent } from "./events.js";
import type { JsonObject } from "./json.js";
import { iterateLiveInstances } from "./pagination.js";

const MAX_BUFFERED = 10_000;

/** `lost`: the connection broke, or the server ended the watch. `compacted`: it no longer keeps the events. */
type StreamEnd = "lost" | "compacted" | "overflowed";

/** The buffered events of one watch on one channel. */
class EventStream {
  watchId = "";
  position = 0;
  end: StreamEnd | undefined;
  #events: AgentEvent[] = [];
  readonly #changed = new AsyncEvent();

  constructor(
    readonly channel: MessageChannel,
    private readonly maxBuffered: number,
  ) {}

  append(event: AgentEvent): void {
    if (this.end !== undefined) return;
    this.#events.push(event);
    this.#changed.set();
    if (this.#events.length >= this.maxBuffered) this.finish("overflowed");
  }

  finish(end: StreamEnd): void {
    this.end ??= end;
    this.#changed.set();
  }

  /** Wait for events and return all that have arrived. Empty: the stream has ended. */
  async nextBatch(): Promise<AgentEvent[]> {
    while (this.#events.length === 0 && this.end === undefined) {
      this.#changed.clear();
      await this.#changed.wait();
    }
    return this.#events.splice(0);
  }
}

/** All watches of one connection. */
export class Watcher {
  readonly #streams = new Map<string, EventStream>();

  constructor(
    private readonly connection: ReconnectingConnection,
    private readonly maxBuffered = MAX_BUFFERED,
  ) {}

  onNotification(method: string, params: JsonObject): void {
    const stream = this.#streams.get(String(params["watch_id"]));
    if (method === "agent.event") stream?.append(eventFromParams(params));
    else if (method === "agent.compacted") stream?.finish("compacted");
    else if (method === "agent.watch_ended") stream?.finish("lost");
  }

  onDisconnected(channel: MessageChannel): void {
    for (const [watchId, stream] of this.#streams) {
      if (stream.channel !== channel) continue;
      stream.finish("lost");
      this.#streams.delete(watchId);
    }
  }

  /** Implements `Client.watch`. Throws Refused, Forbidden, and the final error of the connection. */
  async *watch(filters: JsonObject, after: number | undefined, listed: boolean): AsyncGenerator<AgentEvent> {
    try {
      yield* this.#follow(filters, after, listed);
    } catch (error) {
      if (!(error instanceof Closed)) throw error;
    }
  }

  async *#follow(filters: JsonObject, after: number | undefined, listed: boolean): AsyncGenerator<AgentEvent> {
    let position = after;
    let mustList = listed && after === undefined;
    const backoff = new Backoff();
    for (;;) {
      const stream = await this.#open(filters, position);
      const from = (position ??= stream.position);
      try {
        if (mustList) {
          for await (const each of iterateLiveInstances(this.connection, filters)) yield listedEvent(each, from);
        }
        mustList = false;
        for (let events = await stream.nextBatch(); events.length > 0; events = await stream.nextBatch()) {
          for (const event of events) {
            position = event.position;
            yield event;
          }
        }
      } catch (error) {
        if (!isRetryable(error)) throw error; // of the list
        await backoff.wait();
      } finally {
        await this.#close(stream);
      }
      if (stream.end !== "compacted") continue;
      yield { kind: "reset", position };
      [position, mustList] = [undefined, listed];
    }
  }

  async #open(filters: JsonObject, after: number | undefined): Promise<EventStream> {
    const backoff = new Backoff();
    const params = after === undefined ? filters : { ...filters, after };
    for (;;) {
      const channel = await this.connection.channel();
      const stream = new EventStream(channel, this.maxBuffered);
      try {
        await channel.request("agent.watch", params, (result) => this.#add(stream, result));
        return stream;
      } catch (error) {
        if (error instanceof Disconnected) this.connection.discard(channel);
        else if (error instanceof Refused && error.retryable) await backoff.wait();
        else throw error;
      }
    }
  }

  #add(stream: EventStream, result: JsonObject): void {
    stream.watchId = String(result["watch_id"]);
    stream.position = Number(result["position"] ?? 0);
    this.#streams.set(stream.watchId, stream);
  }

  async #close(stream: EventStream): Promise<void> {
    if (!this.#streams.delete(stream.watchId) || stream.end === "compacted" || stream.end === "lost") return;
    // An error means that the server has ended the watch already, or the connection did.
    await stream.channel.request("agent.unwatch", { watch_id: stream.watchId }).catch(() => undefined);
  }
}

function isRetryable(error: unknown): boolean {
  return error instanceof Unreachable || (error instanceof Refused && error.retryable);
}
